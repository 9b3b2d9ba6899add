// The same thing said another way: as a call of the API, and on the command line. Nothing is hidden, and what was done
// here once can be put into a script.
import { useState } from 'preact/hooks';
import type { Method, Values } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { quote } from '../core/shell.ts';
import { notify } from '../core/tasks.ts';
import { Button } from './button.tsx';

export { quote };

const textOf = (v: string | number | boolean): string => (typeof v === 'boolean' ? (v ? '1' : '0') : String(v));

function pairs(values: Values): string[] {
  return Object.entries(values).flatMap(([name, v]) => (v === undefined ? [] : [`${name}=${textOf(v)}`]));
}

export function asCurl(method: Method, path: string, values: Values): string {
  const data = pairs(values).map((pair) => ` \\\n  --data-urlencode ${quote(pair)}`).join('');
  const get = method === 'GET' || method === 'DELETE' ? ' -G' : '';
  return `curl -X ${method}${get} ${quote(`${location.origin}/api2/json${path}`)} \\\n  -H "Authorization: PVEAPIToken=$TOKEN"${data}`;
}

export function asCommand(method: Method, path: string, values: Values): string {
  return `holm api ${method} ${quote(path)}${pairs(values).map((pair) => ` \\\n  -d ${quote(pair)}`).join('')}`;
}

export interface Same { title: string; text: string }

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    notify({ tone: 'good', text: t('copied') });
  } catch {
    notify({ tone: 'bad', text: t('copy.failed') });
  }
}

function Code({ title, text }: Same) {
  return (
    <div class="code-box">
      <div class="row"><h3 class="grow">{title}</h3><Button tone="ghost" icon="copy" label={t('copy')} onClick={() => void copyText(text)} /></div>
      <pre class="code" tabIndex={0} aria-label={title}>{text}</pre>
    </div>
  );
}

export interface EqualTo { method: Method; path: string; values: Values; command?: string }

/** Secrets are to be taken out of the values before. `command`: a nicer one than `holm api`, where there is one. `then`:
 * what comes after it, where it takes more than one call. */
export function EqualCall(p: EqualTo & { isOpen?: boolean; then?: readonly EqualTo[] }) {
  const [isOpen, setOpen] = useState(p.isOpen ?? false);
  const all: readonly EqualTo[] = [p, ...(p.then ?? [])];
  return (
    <details class="equal" open={isOpen} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{t('equal.title')}</summary>
      {isOpen && <div class="stack">
        <Code title={t('equal.cli')} text={all.map((c) => c.command ?? asCommand(c.method, c.path, c.values)).join('\n')} />
        <Code title={t('equal.api')} text={all.map((c) => asCurl(c.method, c.path, c.values)).join('\n')} />
      </div>}
    </details>
  );
}
