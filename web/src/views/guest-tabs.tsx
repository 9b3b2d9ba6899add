// The tabs of a guest's page: which there are, who sees them, what each shows.
import type { ComponentType } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';
import { Empty } from '../parts/small.tsx';
import { ConfigPage } from './guest-config.tsx';
import { Snapshots } from './guest-snapshots.tsx';
import { GuestSummary } from './guest-summary.tsx';
import { lazy } from './routes.tsx';
import { TaskList, tasksOfGuest } from './task-list.tsx';

type Tab = ComponentType<{ guest: Guest }>;

interface TabRow {
  id: string;
  title: Key;
  tab: Tab;
  fits?: (g: Guest) => boolean;
}

const GuestTasks: Tab = ({ guest }) => <section class="panel"><TaskList tasks={tasksOfGuest(String(guest.vmid))} /></section>;
const Hardware: Tab = ({ guest }) => <ConfigPage guest={guest} page="hardware" />;
const Options: Tab = ({ guest }) => <ConfigPage guest={guest} page="options" />;

const TABS: readonly TabRow[] = [
  { id: 'summary', title: 'tab.summary', tab: GuestSummary },
  { id: 'console', title: 'tab.console', tab: lazy('console', () => import('./guest-console.tsx')), fits: (g) => !g.template && canGuest(g.vmid, 'VM.Console') },
  { id: 'hardware', title: 'tab.hardware', tab: Hardware },
  { id: 'cloudinit', title: 'tab.cloudinit', tab: lazy('guest', () => import('./guest-cloudinit.tsx')) },
  { id: 'options', title: 'tab.options', tab: Options },
  { id: 'snapshots', title: 'tab.snapshots', tab: Snapshots },
  { id: 'agent', title: 'tab.agent', tab: lazy('guest', () => import('./guest-agent.tsx')), fits: (g) => !g.template && canGuest(g.vmid, 'VM.GuestAgent.Audit') },
  { id: 'monitor', title: 'tab.monitor', tab: lazy('guest', () => import('./guest-monitor.tsx')), fits: (g) => !g.template && (canGuest(g.vmid, 'Sys.Audit') || canGuest(g.vmid, 'Sys.Modify')) },
  { id: 'tasks', title: 'nav.tasks', tab: GuestTasks },
  { id: 'permissions', title: 'tab.permissions', tab: lazy('access', () => import('./guest-permissions.tsx')) },
];

/** Address and title of each that the user may see. */
export const tabsOf = (g: Guest): (readonly [string, string])[] =>
  TABS.filter((row) => row.fits?.(g) ?? true).map((row) => [`/guests/${g.vmid}/${row.id}`, t(row.title)] as const);

export function GuestTab({ guest, id }: { guest: Guest; id: string }) {
  const row = TABS.find((r) => r.id === id);
  return row ? <row.tab key={id} guest={guest} /> : <Empty icon="search" title={t('notFound')} />;
}
