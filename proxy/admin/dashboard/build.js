// Writes the files that dashboard.go embeds: node build.js [folder], dist unless told.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2] ?? join(here, 'dist'));
const licence = await readFile(join(here, 'node_modules/uplot/LICENSE'), 'utf8');
const notice = `/*!\nwswarden, Apache-2.0. With uPlot:\n\n${licence.trim()}\n*/`;

await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.js', style: 'src/style.css' },
  outdir: join(folder, 'assets'),
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['chrome123', 'firefox121', 'safari17.5'],
  charset: 'utf8',
  banner: { js: notice, css: notice },
});
await mkdir(folder, { recursive: true });
await copyFile(join(here, 'src/index.html'), join(folder, 'index.html'));
await copyFile(join(here, 'src/icon.svg'), join(folder, 'assets/icon.svg'));
