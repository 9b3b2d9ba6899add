// The guest list's columns.
import { bytes, duration, percent } from '../core/format.ts';
import { stateOf, tagsOf } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { Meter, TagLink } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import type { Column } from '../parts/table.tsx';

const isUp = (g: Guest): boolean => g.status !== 'stopped';

export const GUEST_COLUMNS: readonly Column<Guest>[] = [
  { id: 'name', title: 'guest.name', sort: (g) => g.name,
    cell: (g) => <span class="name-cell"><span class="phone-only"><State state={g.lock ? 'busy' : stateOf(g)} isBare /></span><a href={`/guests/${g.vmid}`} class="ellipsis">{g.name}</a>{g.template ? <span class="quiet">{t('guest.template')}</span> : null}</span> },
  { id: 'vmid', title: 'guest.id', width: '4.5rem', isEnd: true, sort: (g) => g.vmid, cell: (g) => g.vmid },
  { id: 'status', title: 'guest.status', width: '7.5rem', yields: 1, sort: stateOf, cell: (g) => <State state={stateOf(g)} /> },
  { id: 'cpu', title: 'guest.cpu', width: '8rem', yields: 1, sort: (g) => g.cpu,
    cell: (g) => isUp(g) && <Meter value={g.cpu ?? 0} max={1} label={t('guest.cpu')} text={percent(g.cpu ?? 0)} /> },
  { id: 'mem', title: 'guest.memory', width: '10.5rem', yields: 1, sort: (g) => g.mem,
    cell: (g) => isUp(g) ? <Meter isCalm value={g.mem ?? 0} max={g.maxmem ?? 0} label={t('guest.memory')} text={bytes(g.mem ?? 0)} /> : <span class="quiet num">{bytes(g.maxmem ?? 0)}</span> },
  { id: 'disk', title: 'guest.disk', width: '6.5rem', isEnd: true, yields: 2, field: 'maxdisk', sort: (g) => g.maxdisk, cell: (g) => g.maxdisk ? bytes(g.maxdisk) : '' },
  { id: 'uptime', title: 'guest.uptime', width: '8rem', isEnd: true, yields: 2, sort: (g) => g.uptime, cell: (g) => g.uptime ? duration(g.uptime) : '' },
  { id: 'node', title: 'guest.node', width: '8rem', yields: 2, isHidden: true, sort: (g) => g.node, cell: (g) => g.node },
  { id: 'pool', title: 'guest.pool', width: '8rem', yields: 2, isHidden: true, sort: (g) => g.pool, cell: (g) => g.pool },
  { id: 'tags', title: 'guest.tags', width: '11rem', yields: 1, sort: (g) => g.tags,
    cell: (g) => <span class="row tags">{tagsOf(g).map((tag) => <TagLink key={tag} name={tag} />)}</span> },
];
