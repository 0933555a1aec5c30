// A packed package brings the contract along; in the repository it stands where everybody shares it.
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const shared = fileURLToPath(new URL('../../../wit/1.0.0/', import.meta.url));
const own = fileURLToPath(new URL('../wit/', import.meta.url));
if (existsSync(shared)) {
  mkdirSync(own, { recursive: true });
  // Not what lies beside it: components that are kept for tests are large.
  for (const name of readdirSync(shared)) if (name.endsWith('.wit')) copyFileSync(shared + name, own + name);
}
