// What the command palette finds: views, guests and their tabs, storages, nodes, and what can be done with a guest.
import type { IconName } from '../parts/icon.tsx';
import { mayCreate } from './create-rights.ts';
import { GUEST_ACTIONS, mayAct, startAction } from './guests.ts';
import { t, type Key } from './i18n.ts';
import { canGuest } from './perms.ts';
import { go, href } from './router.ts';
import { store, type Guest } from './store.ts';
import { act } from './tasks.ts';

export interface Command { id: string; icon: IconName; text: string; more?: string; run: () => void }
export interface View { href: string; icon: IconName; text: Key }

const SHOWN_MAX = 12;
const TABS: readonly (readonly [id: string, title: Key, icon: IconName, privilege: string])[] = [
  ['console', 'tab.console', 'screen', 'VM.Console'], ['hardware', 'tab.hardware', 'disk', 'VM.Audit'], ['snapshots', 'tab.snapshots', 'camera', 'VM.Audit'],
];

/** How well a text fits what was typed: 0 best, Infinity not at all. Each word must be somewhere. */
export function rank(text: string, words: readonly string[]): number {
  const low = text.toLowerCase();
  if (!words.every((w) => low.includes(w)))
    return Infinity;
  const first = words[0] ?? '';
  const parts = low.split(/[\s._-]+/);
  if (parts.includes(first))
    return low.startsWith(first) ? 0 : 1;
  return low.startsWith(first) ? 2 : parts.some((p) => p.startsWith(first)) ? 3 : 4;
}

interface Found { command: Command; rank: number }

function guestCommands(g: Guest, words: readonly string[], add: (text: string, c: Command, isLate?: boolean) => void): void {
  const name = `${g.name} ${g.vmid}`;
  const more = String(g.vmid);
  add(name, { id: `g-${g.vmid}`, icon: 'guests', text: g.name, more, run: () => go(href('guests', g.vmid)) });
  if (words.length < 2 || rank(name, words) < Infinity || !words.some((w) => name.toLowerCase().includes(w)))
    return; // "web sh": one word of the guest, another of the action
  for (const a of GUEST_ACTIONS) {
    const what = `${t(a.label)} ${g.name}`;
    if (!a.isHard && mayAct(g, a))
      add(`${name} ${t(a.label)}`, { id: `a-${g.vmid}-${a.id}`, icon: a.icon, text: what, more, run: () => void act(what, () => startAction(g, a)) }, true);
  }
  for (const [tab, title, icon, privilege] of TABS) {
    if (canGuest(g.vmid, privilege))
      add(`${name} ${t(title)}`, { id: `t-${g.vmid}-${tab}`, icon, text: `${g.name}: ${t(title)}`, more, run: () => go(href('guests', g.vmid, tab)) }, true);
  }
}

/** Best first; of equals, views before guests before the rest. */
export function findCommands(text: string, views: readonly View[]): Command[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found: Found[] = [];
  const add = (name: string, command: Command, isLate = false): void => {
    const r = rank(name, words);
    if (r < Infinity)
      found.push({ command, rank: isLate ? r + 10 : r });
  };
  if (mayCreate())
    add(t('create.open'), { id: 'c-guest', icon: 'plus', text: t('create.open'), run: () => go('/guests/new') });
  for (const v of views)
    add(t(v.text), { id: `v-${v.href}`, icon: v.icon, text: t(v.text), run: () => go(v.href) });
  for (const row of store.tables.guest.all())
    guestCommands(row.peek(), words, add);
  for (const row of store.tables.storage.all()) {
    const s = row.peek();
    add(s.storage, { id: s.id, icon: 'disk', text: s.storage, more: s.node, run: () => go(href('storage', s.node, s.storage)) });
  }
  for (const row of store.tables.node.all()) {
    const n = row.peek();
    add(n.node, { id: n.id, icon: 'node', text: n.node, run: () => go(href('nodes', n.node)) });
  }
  return found.sort((a, b) => a.rank - b.rank).slice(0, SHOWN_MAX).map((f) => f.command);
}
