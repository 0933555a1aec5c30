// UTF-8, which the engine has no global for.

export function encode(text) {
  // A lone half of a surrogate pair has no UTF-8; it becomes the replacement character, as TextEncoder has it.
  const whole = text.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uD800-\uDFFF]/g, (found) => (found.length === 2 ? found : '\uFFFD'));
  const bytes = new Uint8Array(whole.length * 3);
  let at = 0;
  for (const character of whole) {
    const point = character.codePointAt(0);
    if (point < 0x80) bytes[at++] = point;
    else if (point < 0x800) at = tail(bytes, at, 0xc0 | (point >> 6), point, 1);
    else if (point < 0x10000) at = tail(bytes, at, 0xe0 | (point >> 12), point, 2);
    else at = tail(bytes, at, 0xf0 | (point >> 18), point, 3);
  }
  return bytes.slice(0, at);
}

function tail(bytes, at, first, point, following) {
  bytes[at++] = first;
  for (let shift = (following - 1) * 6; shift >= 0; shift -= 6) bytes[at++] = 0x80 | ((point >> shift) & 0x3f);
  return at;
}

export function decode(bytes) {
  let escaped = '';
  for (const byte of bytes) escaped += `%${byte < 16 ? '0' : ''}${byte.toString(16)}`;
  try {
    return decodeURIComponent(escaped);
  } catch {
    throw new TypeError('these bytes are not UTF-8');
  }
}
