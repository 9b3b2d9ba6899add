// One node: what can be done with all of it at the top, its tabs below. Each tab has an address.
import type { ComponentType } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { hasLoaded } from '../core/live.ts';
import { can, canNode } from '../core/perms.ts';
import { href, type PathParams } from '../core/router.ts';
import { store } from '../core/store.ts';
import { lazy } from '../parts/lazy.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Tabs } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { NodeActions } from './node-actions.tsx';
import { NodeSummary } from './node-summary.tsx';

type Tab = ComponentType<{ node: string }>;
interface TabRow { id: string; title: Key; tab: Tab; fits?: (node: string) => boolean }

const mayAudit = (node: string): boolean => canNode(node, 'Sys.Audit');

const TABS: readonly TabRow[] = [
  { id: 'summary', title: 'tab.summary', tab: NodeSummary },
  { id: 'network', title: 'node.tab.network', tab: lazy('node', () => import('./node-network.tsx')) },
  { id: 'disks', title: 'node.tab.disks', tab: lazy('node', () => import('./node-disks.tsx')), fits: mayAudit },
  { id: 'hardware', title: 'node.tab.hardware', tab: lazy('node', () => import('./node-hardware.tsx')), fits: () => can('/', 'Sys.Audit') || can('/', 'Sys.Modify') },
  { id: 'system', title: 'node.tab.system', tab: lazy('node', () => import('./node-system.tsx')), fits: mayAudit },
  { id: 'services', title: 'node.tab.services', tab: lazy('node', () => import('./node-services.tsx')), fits: mayAudit },
  { id: 'log', title: 'node.tab.log', tab: lazy('node', () => import('./node-log.tsx')), fits: (node) => canNode(node, 'Sys.Syslog') },
  { id: 'software', title: 'node.tab.software', tab: lazy('node', () => import('./node-software.tsx')), fits: mayAudit },
  { id: 'tasks', title: 'nav.tasks', tab: lazy('node', () => import('./node-tasks.tsx')) },
];

export default function NodePage({ params }: { params: PathParams }) {
  const name = params['node'] ?? '', tab = params['tab'] ?? 'summary';
  void store.tables.node.ids.value;
  const n = store.tables.node.row(`node/${name}`)?.value;
  if (!n)
    return hasLoaded.value ? <Empty icon="node" title={t('node.gone', { name })}><a href="/nodes">{t('nav.nodes')}</a></Empty> : <Waiting />;
  const shown = TABS.filter((row) => row.fits?.(name) ?? true);
  const found = shown.find((row) => row.id === tab);
  return (
    <div class="view" key={name}>
      <header class="view-head row wrap">
        <div class="grow guest-title">
          <p class="crumbs"><a href="/nodes">{t('nav.nodes')}</a></p>
          <h1 class="row wrap"><span>{name}</span><State state={n.status} /></h1>
        </div>
        <NodeActions node={name} />
      </header>
      <Tabs label={name} current={href('nodes', name, tab)} tabs={shown.map((row) => [href('nodes', name, row.id), t(row.title)] as const)} />
      {found ? <found.tab key={found.id} node={name} /> : <Empty icon="search" title={t('notFound')} />}
    </div>
  );
}
