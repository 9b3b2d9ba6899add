// Property strings, "local:10,format=qcow2,discard=on": values of many configuration keys. The first part may come
// without its name; which name that is depends on the key.

export type Properties = ReadonlyMap<string, string>;

/** defaultName: of a first part without "="; it is kept under that name. */
export function parseProperties(text: string, defaultName: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const [i, part] of text.split(',').entries()) {
    const at = part.indexOf('=');
    if (at > 0)
      out.set(part.slice(0, at).trim(), part.slice(at + 1));
    else if (i === 0 && part.trim())
      out.set(defaultName, part.trim());
  }
  return out;
}

/** The default part comes first, without its name; what is '' or undefined is left out. */
export function formatProperties(values: Iterable<readonly [string, string | undefined]>, defaultName: string): string {
  const parts: string[] = [];
  for (const [name, value] of values) {
    if (value === undefined || value === '')
      continue;
    if (name === defaultName)
      parts.unshift(value);
    else
      parts.push(`${name}=${value}`);
  }
  return parts.join(',');
}

/** A copy with some changed; '' and undefined take one away. */
export function withProperties(old: Properties, changes: Readonly<Record<string, string | undefined>>): Map<string, string> {
  const out = new Map(old);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '')
      out.delete(name);
    else
      out.set(name, value);
  }
  return out;
}
