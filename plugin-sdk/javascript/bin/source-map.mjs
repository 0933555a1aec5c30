// Reads a source map (version 3) into what a stack needs: for each line of the bundle, a file and a line in it.

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** `{ sources, lines }`, where `lines[n - 1]` is `[source, line]` of the bundle's line n, or 0 where there is none. */
export function places(map, named) {
  let source = 0;
  let line = 0;
  const lines = map.mappings.split(';').map((segments) => {
    let first = 0;
    for (const segment of segments.split(',').filter(Boolean)) {
      const [, sourceStep, lineStep] = numbers(segment);
      if (sourceStep === undefined) continue;
      source += sourceStep;
      line += lineStep;
      first ||= [source, line + 1];
    }
    return first;
  });
  return { sources: map.sources.map(named), lines };
}

function numbers(segment) {
  const found = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    found.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return found;
}
