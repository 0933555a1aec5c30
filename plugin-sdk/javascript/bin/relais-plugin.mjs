#!/usr/bin/env node
// `relais-plugin build [ENTRY] [-o OUT]`: bundles a plugin with what it imports, and makes a component of it.
//
// TypeScript is stripped of its types here and not checked; `tsc --noEmit` checks it, as the template does.

import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { componentize } from 'componentize-qjs';
import { build } from 'esbuild';
import { places } from './source-map.mjs';

const ENTRIES = ['src/plugin.ts', 'src/plugin.js', 'plugin.ts', 'plugin.js'];
const USAGE = 'usage: relais-plugin build [ENTRY] [-o OUT.wasm]';
const inPackage = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

function fail(message) {
  console.error(message);
  process.exit(1);
}

function given() {
  const options = { out: { type: 'string', short: 'o' } };
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (positionals[0] !== 'build' || positionals.length > 2) fail(USAGE);
  const entry = positionals[1] ?? ENTRIES.find((path) => existsSync(path));
  if (!entry || !existsSync(entry)) fail(`there is no ${entry ?? ENTRIES.join(', ')} here\n${USAGE}`);
  return { entry: resolve(entry), out: values.out ?? component() };
}

/** What the manifest calls the component. */
function component() {
  if (!existsSync('plugin.toml')) fail(`there is no plugin.toml here, and no -o\n${USAGE}`);
  const found = /^\s*component\s*=\s*["']([^"']+)["']/m.exec(readFileSync('plugin.toml', 'utf8'));
  return found?.[1] ?? fail('plugin.toml names no component: [plugin] needs component = "NAME.wasm"');
}

/** The module whose exports are the component's: the globals come first, so that the plugin's modules find them. */
const wrapper = (entry) => `
import 'relais-plugin/globals';
import declared from ${JSON.stringify(entry)};
import { exportsOf } from 'relais-plugin/component';
export const { onEvent, onTimer, onDelivery, onMessage } = exportsOf(declared);
`;

async function bundle(entry, outfile) {
  await build({
    stdin: { contents: wrapper(entry), resolveDir: dirname(entry), sourcefile: 'component-exports.js' },
    alias: {
      'relais-plugin/globals': inPackage('src/globals.js'),
      'relais-plugin/component': inPackage('src/component.js'),
      'relais-plugin': inPackage('src/index.js'),
    },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    charset: 'utf8',
    external: ['relais:*'],
    logLevel: 'warning',
    outfile,
    sourcemap: 'external',
  });
  const map = JSON.parse(readFileSync(`${outfile}.map`, 'utf8'));
  // Esbuild resolves links, and names sources as seen from the bundle.
  const named = (source) => {
    const path = resolve(dirname(outfile), source);
    const inside = relative(inPackage(''), path);
    return inside.startsWith('..') ? relative(process.cwd(), path) : `relais-plugin/${inside}`;
  };
  const table = JSON.stringify(places(map, named));
  writeFileSync(outfile, `${readFileSync(outfile, 'utf8')}\nglobalThis.__relaisPlaces = ${table};\n`);
}

async function main() {
  const { entry, out } = given();
  const wit = [inPackage('wit'), inPackage('../../wit/1.0.0')].find((path) => existsSync(path));
  if (!wit) fail('the contract is missing: there is no directory wit/ in this package');
  const work = mkdtempSync(join(dirname(resolve(out)), '.relais-build-'));
  try {
    const bundled = join(work, `${basename(out, '.wasm')}.js`);
    await bundle(entry, bundled);
    // Not `optSize`: that engine is built with tail calls, which the host has switched off.
    const made = await componentize({ jsSource: readFileSync(bundled, 'utf8'), witPath: wit, world: 'plugin', sync: true });
    writeFileSync(join(work, 'component'), made.component);
    renameSync(join(work, 'component'), out);
    console.log(`built ${out}, ${Math.round(statSync(out).size / 1024)} KiB`);
  } catch (error) {
    // Esbuild has shown its errors already, with the place.
    fail(error.errors ? 'the plugin cannot be bundled' : `the component cannot be made: ${error.message}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

await main();
