// What needs attention and is in no list: it is asked for, a few questions at a time, and of many guests not of all.
import { get } from '../core/api.ts';
import { guestPath, stateOf } from '../core/guests.ts';
import { loadArea, t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { href } from '../core/router.ts';
import { store, type Guest } from '../core/store.ts';
import type { Concern } from './dashboard.tsx';

const RUNNING_MAX = 40, AT_ONCE = 4;
const EXPIRES_SOON_S = 30 * 86400, DAY_S = 86400;

interface Certificate { filename: string; notafter?: number }
interface Pending { pending?: unknown; delete?: number }

/** What cannot be asked, because the object has gone or may not be seen, is no concern. */
async function ofEach<T>(list: readonly T[], ask: (item: T) => Promise<Concern | null>): Promise<Concern[]> {
  const left = [...list], out: Concern[] = [];
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      const found = await ask(item).catch(() => null);
      if (found)
        out.push(found);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return out;
}

const standsStill = (g: Guest): Concern => ({ id: `io-${g.vmid}`, to: href('guests', g.vmid), text: t('guest.concern.io', { name: g.name }) });

async function waits(g: Guest): Promise<Concern | null> {
  const n = (await get<Pending[]>(`${guestPath(g)}/pending`)).filter((p) => p.pending !== undefined || p.delete).length;
  return n ? { id: `pending-${g.vmid}`, to: href('guests', g.vmid), text: t('guest.concern.pending', { name: g.name, n }) } : null;
}

async function expires(node: string): Promise<Concern | null> {
  const nowS = Date.now() / 1000;
  const ends = (await get<Certificate[]>(`${nodePath(node)}/certificates/info`)).flatMap((c) => c.notafter ?? []);
  const first = Math.min(...ends);
  if (!ends.length || first > nowS + EXPIRES_SOON_S)
    return null;
  const n = Math.floor((first - nowS) / DAY_S);
  return { id: `cert-${node}`, to: href('nodes', node), text: n < 0 ? t('guest.concern.expired', { name: node }) : t('guest.concern.expires', { name: node, n }) };
}

export async function look(): Promise<Concern[]> {
  await loadArea('guest');
  const guests = store.tables.guest.all().map((row) => row.peek());
  const running = guests.filter((g) => g.status !== 'stopped');
  const asked = running.length <= RUNNING_MAX ? running : [];
  const nodes = store.tables.node.all().map((row) => row.peek()).filter((n) => n.status === 'online');
  return [
    ...running.filter((g) => stateOf(g) === 'io-error').map(standsStill), ...await ofEach(nodes.map((n) => n.node), expires), ...await ofEach(asked, waits),
  ];
}
