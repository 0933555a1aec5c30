// Turns places in the bundle into places in the author's files. The build leaves a table at the end of the bundle: for each
// of its lines, the number of a file and the line there.

/** A stack with `src/plugin.ts:17` where the engine wrote `bundle.js:1204:9`, without the frames of this SDK. */
export function places(stack) {
  const table = globalThis.__relaisPlaces;
  if (!table) return stack;
  const lines = stack.split('\n').map((line) => translated(line, table));
  const own = lines.filter((line) => !line.includes('relais-plugin/src/'));
  return (own.length > 0 ? own : lines).join('\n');
}

function translated(line, { sources, lines }) {
  return line.replace(/(?:componentize-qjs:)?[\w./-]+\.m?js:(\d+)(?::\d+)?/, (whole, at) => {
    const found = lines[at - 1];
    return found ? `${sources[found[0]]}:${found[1]}` : whole;
  });
}
