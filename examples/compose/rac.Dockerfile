# syntax=docker/dockerfile:1

# The server of examples/rac alone, on port 5000: compose.yaml puts wswarden in front.
FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o rac ./examples/rac

FROM scratch
COPY --from=build /src/rac /rac
USER 65532:65532
ENTRYPOINT ["/rac", "-backend", ":5000"]
