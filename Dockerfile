# syntax=docker/dockerfile:1

# wswarden, roots of certificates for https upstreams and collectors, and nothing else:
# no shell, no libraries. It writes no file, so its root may be read-only.
#
#   docker build -t wswarden --build-arg VERSION=v1.0.0 .
#   docker run --read-only --cap-drop ALL -p 8080:8080 -v ./wswarden.yaml:/etc/wswarden/wswarden.yaml:ro wswarden
#   docker run --read-only --cap-drop ALL -p 8080:8080 wswarden serve --upstream http://app:5000 --listen :8080
#
# For both architectures: docker buildx build --platform linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG VERSION
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags="-s -w -X wswarden/proxy.version=$VERSION" -o wswarden .

FROM scratch
ARG VERSION
LABEL org.opencontainers.image.title="wswarden" \
      org.opencontainers.image.description="Supervises every WebSocket connection to the server it stands in front of" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/wswarden /wswarden
# By number, as nothing here knows names, and as Kubernetes' runAsNonRoot asks for one.
USER 65532:65532
EXPOSE 8080
# It asks 127.0.0.1:9090, or WSWARDEN_ADMIN_ADDRESS: set that where the admin address has
# another port. It is healthy while new sessions would reach upstream.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --start-interval=1s --retries=3 CMD ["/wswarden", "healthcheck", "--timeout", "4s"]
# An orchestrator has to wait longer for the end than drain.timeout, which is 25s:
# docker stop --timeout 30.
ENTRYPOINT ["/wswarden"]
CMD ["serve", "--config", "/etc/wswarden/wswarden.yaml"]
