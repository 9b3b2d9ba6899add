// Settings: of this browser, of the whole installation, CPU models made here; keys, and what this is.
import type { ComponentType } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { canAnywhere } from '../core/perms.ts';
import { href, type PathParams } from '../core/router.ts';
import { lazy } from '../parts/lazy.tsx';
import { Empty, Tabs } from '../parts/small.tsx';
import { SettingsAbout } from './settings-about.tsx';
import { SettingsKeys } from './settings-keys.tsx';
import { SettingsPage } from './settings-page.tsx';

interface TabRow { id: string; title: Key; tab: ComponentType; fits?: () => boolean }

const MODEL_PRIVILEGES = ['Mapping.Audit', 'Mapping.Use', 'Mapping.Modify'];

const TABS: readonly TabRow[] = [
  { id: 'page', title: 'settings.tab.page', tab: SettingsPage },
  { id: 'cluster', title: 'settings.tab.cluster', tab: lazy('settings', () => import('./settings-cluster.tsx')) },
  { id: 'cpu', title: 'settings.tab.cpu', tab: lazy('settings', () => import('./settings-cpu.tsx')), fits: () => MODEL_PRIVILEGES.some(canAnywhere) },
  { id: 'keys', title: 'settings.tab.keys', tab: SettingsKeys },
  { id: 'about', title: 'settings.tab.about', tab: SettingsAbout },
];

export default function Settings({ params }: { params: PathParams }) {
  const shown = TABS.filter((row) => row.fits?.() ?? true);
  const id = params['tab'] ?? 'page';
  const found = shown.find((row) => row.id === id);
  return (
    <div class="view">
      <header class="view-head"><h1>{t('nav.settings')}</h1></header>
      <Tabs label={t('nav.settings')} current={href('settings', id)} tabs={shown.map((row) => [href('settings', row.id), t(row.title)] as const)} />
      {found ? <found.tab key={id} /> : <Empty icon="search" title={t('notFound')} />}
    </div>
  );
}
