// Builds the page into dist/ (or --out DIR): hashed names below assets/, index.html without inline code, a .gz beside
// each file, which holm-front serves as it is. Fails when the first load is larger than the budget. With --test it
// bundles the unit tests into dist-test/ instead.
import { build } from 'esbuild';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync, constants } from 'node:zlib';

const BUDGET_BYTES = 56 * 1024; // JS and CSS of the first load, gzip
const HERE = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const out = resolve(args.includes('--out') ? args[args.indexOf('--out') + 1] : join(HERE, 'dist'));
const common = { bundle: true, format: 'esm', jsx: 'automatic', jsxImportSource: 'preact', target: 'es2023', logLevel: 'warning', absWorkingDir: HERE };

/** Every file that a set of outputs cannot do without: not what is imported when it is needed. */
function closure(meta, start) {
  const seen = new Set();
  const add = (file) => {
    if (!seen.has(file)) {
      seen.add(file);
      for (const i of meta.outputs[file].imports)
        if (i.kind === 'import-statement')
          add(i.path);
    }
  };
  start.forEach(add);
  return [...seen];
}

/** What main.tsx imports at once, in the order in which it is evaluated, and what of src is imported when it is needed. */
async function look() {
  const { metafile: { inputs } } = await build({ ...common, entryPoints: ['src/main.tsx'], outdir: out, splitting: true, metafile: true, write: false });
  const first = new Set();
  const add = (file) => {
    if (inputs[file] && !first.has(file)) { // not esbuild's own parts
      first.add(file);
      inputs[file].imports.filter((i) => i.kind === 'import-statement').forEach((i) => add(i.path));
      first.delete(file);
      first.add(file); // after what it imports
    }
  };
  add('src/main.tsx');
  first.delete('src/main.tsx');
  const later = new Set(Object.values(inputs).flatMap((f) => f.imports).filter((i) => i.kind === 'dynamic-import').map((i) => i.path));
  return { first: [...first].filter((f) => /^src.*\.tsx?$/.test(f)), later };
}

/** esbuild makes a chunk of the modules that the same entries need: two dozen for the first load. Whatever is imported
 * later begins with an import of all of the first load, so that this is one chunk. */
const together = ({ first, later }) => ({
  name: 'together',
  setup(b) {
    b.onResolve({ filter: /^holm:first$/ }, () => ({ path: 'first', namespace: 'holm' }));
    b.onLoad({ filter: /./, namespace: 'holm' }, () => ({ contents: first.map((f) => `import './${f}';`).join('\n'), resolveDir: HERE }));
    b.onLoad({ filter: /\.tsx?$/ }, async ({ path }) => later.has(relative(HERE, path)) ? { contents: `import 'holm:first';\n${await readFile(path, 'utf8')}`, loader: 'tsx' } : undefined);
    // Texts as one object each, not as a variable for each text.
    b.onLoad({ filter: /locale\/.*\.json$/ }, async ({ path }) => ({ contents: `export default ${await readFile(path, 'utf8')}` }));
  },
});

/** Seen until the scripts are there: views/signin.tsx draws the same. */
const MARK = '<svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true"><path d="M6 19c3-9 6-12 10-12s7 3 10 12z" fill="currentColor"/><path d="M3 23.5c4 2.5 9-2.5 13 0s9 2.5 13 0" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/></svg>';

function html({ early, main, css, screens, icon, preload }) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Holm</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="screens" content="/assets/${screens}">
<link rel="icon" href="/assets/${icon}" type="image/svg+xml">
<link rel="stylesheet" href="/assets/${css}">
<script src="/assets/${early}"></script>
${preload.map((f) => `<link rel="modulepreload" href="/assets/${f}">\n`).join('')}<script type="module" src="/assets/${main}"></script>
</head>
<body><div id="app"><div class="boot">${MARK}</div></div><noscript>This page needs JavaScript.</noscript></body>
</html>
`;
}

async function compress(folder) {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      await compress(path);
    else if (!entry.name.endsWith('.gz'))
      await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: constants.Z_BEST_COMPRESSION }));
  }
}

async function page() {
  await rm(out, { recursive: true, force: true });
  await mkdir(join(out, 'assets'), { recursive: true });
  const { metafile } = await build({
    ...common, entryPoints: ['src/main.tsx', 'src/early.ts', 'src/icon.svg', 'src/styles/screens.css'], outdir: join(out, 'assets'), entryNames: '[name]-[hash]', chunkNames: '[name]-[hash]',
    assetNames: '[name]-[hash]', loader: { '.svg': 'copy' }, splitting: true, minify: true, metafile: true, legalComments: 'none',
    plugins: [together(await look())],
  });
  const files = Object.keys(metafile.outputs);
  const of = (entry, end) => files.find((f) => metafile.outputs[f].entryPoint === entry && f.endsWith(end));
  const main = of('src/main.tsx', '.js');
  const early = of('src/early.ts', '.js');
  const css = metafile.outputs[main].cssBundle;
  const icon = files.find((f) => f.endsWith('.svg'));
  const needed = closure(metafile, [main]);
  const screens = of('src/styles/screens.css', '.css');
  const names = Object.fromEntries(Object.entries({ early, main, css, screens, icon }).map(([k, f]) => [k, basename(f)]));
  await writeFile(join(out, 'index.html'), html({ ...names, preload: needed.filter((f) => f !== main).map((f) => basename(f)) }));
  await compress(out);

  let total = 0;
  for (const file of [...needed, early, css]) {
    const size = (await readFile(join(HERE, `${file}.gz`))).length;
    total += size;
    console.log(`${String(size).padStart(7)}  ${basename(file)}`);
  }
  console.log(`${String(total).padStart(7)}  first load, gzip; at most ${BUDGET_BYTES}`);
  if (total > BUDGET_BYTES) {
    console.error('build: the first load is larger than its budget');
    process.exitCode = 1;
  }
}

async function tests() {
  const names = (await readdir(join(HERE, 'test'))).filter((n) => n.endsWith('.test.ts'));
  await rm(join(HERE, 'dist-test'), { recursive: true, force: true });
  await build({ ...common, platform: 'node', entryPoints: names.map((n) => `test/${n}`), outdir: 'dist-test', outExtension: { '.js': '.mjs' } });
}

await (args.includes('--test') ? tests() : page());
