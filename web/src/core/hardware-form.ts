// Forms over keys of a configuration: each field is a key, or one property of a key ("net0.tag"); what was changed is
// put together again, key by key. Pure.
import { ApiError } from './api.ts';
import { familyOf, type Values } from './hardware.ts';
import { formatProperties, parseProperties } from './property.ts';

/** Values of fields by their path; '' stands for "not set". */
export type Draft = Readonly<Record<string, string>>;
export interface Changes { set: Readonly<Record<string, string>>; remove: readonly string[] }

type Properties = ReadonlyMap<string, string>;
interface Codec { read: (value: string) => Map<string, string>; write: (properties: Properties) => string }

const plain = (first: string): Codec => ({ read: (v) => parseProperties(v, first), write: (p) => formatProperties(p, first) });

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** "virtio=BC:24:…,bridge=vmbr0": the model's name is that of the first part, its value the address. */
const net: Codec = {
  read: (value) => {
    const out = parseProperties(value, 'model');
    const first = [...out][0];
    if (!first || first[0] === 'model' || !MAC.test(first[1]))
      return out;
    out.delete(first[0]);
    return new Map([['model', first[0]], ['macaddr', first[1]], ...out]);
  },
  write: (p) => {
    const rest = formatProperties([...p].filter(([name]) => name !== 'model' && name !== 'macaddr'), '');
    const model = p.get('model') || 'virtio', mac = p.get('macaddr');
    return [mac ? `${model}=${mac}` : model, ...(rest ? [rest] : [])].join(',');
  },
};

const PLAIN_SMBIOS = new Set(['uuid', 'base64']);
const toBase64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

function fromBase64(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  } catch {
    return text; // as somebody wrote it
  }
}

/** Texts may hold anything, so they are written in base64, as the API allows. */
const smbios: Codec = {
  read: (value) => {
    const p = parseProperties(value, '');
    const isCoded = p.get('base64') === '1';
    p.delete('base64');
    return new Map([...p].map(([name, v]) => [name, isCoded && !PLAIN_SMBIOS.has(name) ? fromBase64(v) : v]));
  },
  write: (p) => {
    const texts = [...p].filter(([name, v]) => !PLAIN_SMBIOS.has(name) && v);
    const coded = [...p].map(([name, v]) => [name, PLAIN_SMBIOS.has(name) || !v ? v : toBase64(v)] as const);
    return formatProperties([...coded, ['base64', texts.length ? '1' : '']], '');
  },
};

/** "network,disk,usb"; 1 is these three, 0 none. */
const hotplug: Codec = {
  read: (value) => new Map((value === '1' || value === '' ? 'network,disk,usb' : value === '0' ? '' : value).split(',').filter(Boolean).map((name) => [name, '1'])),
  write: (p) => [...p].filter(([, v]) => v === '1').map(([name]) => name).join(',') || '0',
};

/** What is said of the agent says also whether there is one. */
const agent: Codec = { read: plain('enabled').read, write: (p) => (p.size ? formatProperties([['enabled', p.get('enabled') || '0'], ...[...p].filter(([n]) => n !== 'enabled')], 'enabled') : '') };

/** The API's default, driver=spice, is refused: a card without listener is what there is. */
const audio: Codec = { read: plain('').read, write: (p) => formatProperties([...p].filter(([n]) => n !== 'driver').concat(p.get('device') ? [['driver', 'none']] : []), '') };

const CODECS: Readonly<Record<string, Codec>> = {
  net, smbios1: smbios, hotplug, cpu: plain('cputype'), memory: plain('current'), agent, audio0: audio, vga: plain('type'), machine: plain('type'),
  usb: plain('host'), watchdog: plain('model'), rng0: plain('source'), scsi: plain('file'), virtio: plain('file'), sata: plain('file'), ide: plain('file'),
  efidisk: plain('file'), tpmstate: plain('file'),
};
const ANY = plain('');

const codecOf = (key: string): Codec => CODECS[key] ?? CODECS[familyOf(key)] ?? ANY;
const split = (path: string): [key: string, property: string] => {
  const at = path.indexOf('.');
  return at < 0 ? [path, ''] : [path.slice(0, at), path.slice(at + 1)];
};

export const propertiesOf = (key: string, value: string): Map<string, string> => codecOf(key).read(value);
export const valueOf = (key: string, properties: Properties): string => codecOf(key).write(properties);

/** One field's value as it is configured. */
export function fieldValue(values: Values, path: string): string {
  const [key, property] = split(path);
  const value = values[key];
  if (!property)
    return value ?? '';
  return value === undefined && key !== 'hotplug' ? '' : (propertiesOf(key, value ?? '').get(property) ?? '');
}

/** What a draft changes of the values. A key that comes out as it was is left alone; one without content is removed. */
export function changesOf(values: Values, draft: Draft): Changes {
  const keys = new Set(Object.keys(draft).map((path) => split(path)[0]));
  const set: Record<string, string> = {};
  const remove: string[] = [];
  for (const key of keys) {
    const paths = Object.keys(draft).filter((path) => split(path)[0] === key && draft[path] !== fieldValue(values, path));
    if (!paths.length)
      continue;
    const properties = propertiesOf(key, values[key] ?? '');
    let whole: string | null = null;
    for (const path of paths) {
      const name = split(path)[1];
      if (name)
        properties.set(name, draft[path] ?? '');
      else
        whole = draft[path] ?? '';
    }
    const next = whole ?? valueOf(key, new Map([...properties].filter(([, v]) => v !== '')));
    if (next === '' && key in values)
      remove.push(key);
    else if (next !== '' && next !== values[key])
      set[key] = next;
  }
  return { set, remove };
}

export const isEmpty = (c: Changes): boolean => Object.keys(c.set).length === 0 && c.remove.length === 0;

/** As parameters of PUT and POST …/config. */
export const parametersOf = (c: Changes): Record<string, string> => (c.remove.length ? { ...c.set, delete: c.remove.join(',') } : { ...c.set });

// ---- refusals ----

/** "invalid format - format error\ntag: value must …" belongs to the property, "'tag' needs a bridge" too. */
function ofProperty(key: string, text: string): [string, string][] {
  const lines = text.split('\n').filter((line) => !/^invalid format - format error$/.test(line));
  return lines.map((line): [string, string] => {
    const m = /^([\w-]+): (.+)$/.exec(line);
    if (m?.[1] && m[2])
      return [`${key}.${m[1]}`, m[2]];
    const quoted = /^'([\w-]+)' /.exec(line);
    return [quoted?.[1] ? `${key}.${quoted[1]}` : key, line];
  });
}

/** The same error with each text at the field that it is about, as far as the server says which. A property that the
 * form has no field for stays with its key. */
export function atFields(error: unknown, keys: readonly string[], paths: readonly string[]): unknown {
  if (!(error instanceof ApiError))
    return error;
  const given: Record<string, string> = { ...error.fields };
  const named = /^([a-z]+\d*): (.+)$/s.exec(error.message);
  if (named?.[1] && named[2] && keys.includes(named[1]))
    given[named[1]] = named[2];
  const fields: Record<string, string> = {};
  for (const [key, text] of Object.entries(given)) {
    for (const [path, line] of keys.includes(key) ? ofProperty(key, text) : [[key, text] as const]) {
      const mac = keys.includes(key) && familyOf(key) === 'net' && / MAC /.test(line) ? `${key}.macaddr` : path;
      const known = paths.includes(mac) ? mac : paths.includes(key) ? key : mac;
      fields[known] = fields[known] ? `${fields[known]} ${line}` : line;
    }
  }
  return new ApiError(error.status, error.message, { code: error.code, hint: error.hint, fields });
}
