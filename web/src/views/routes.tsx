// Which address shows what. A screen comes with its texts when it is first opened.
import type { ComponentType } from 'preact';
import { t } from '../core/i18n.ts';
import { match, place, type PathParams } from '../core/router.ts';
import { lazy } from '../parts/lazy.tsx';
import { Empty } from '../parts/small.tsx';
import { Dashboard } from './dashboard.tsx';
import { Guests } from './guests.tsx';
import { Tasks } from './task-list.tsx';

export { lazy };

export type Screen = ComponentType<{ params: PathParams }>;

interface Route {
  pattern: string;
  screen: Screen;
  /** Without rail and bar: a window of its own. */
  isBare?: boolean;
}

const create = lazy('create', () => import('./create.tsx'));
const guest = lazy('guest', () => import('./guest.tsx'));
const storages = lazy('storage', () => import('./storages.tsx'));
const storage = lazy('storage', () => import('./storage.tsx'));
const nodes = lazy('node', () => import('./nodes.tsx'));
const node = lazy('node', () => import('./node.tsx'));
const access = lazy('access', () => import('./access.tsx'));
const account = lazy('access', () => import('./account.tsx'));
const audit = lazy('access', () => import('./audit.tsx'));
const settings = lazy('settings', () => import('./settings.tsx'));
const consoleWindow = lazy('console', () => import('./console-window.tsx'));

const ROUTES: readonly Route[] = [
  { pattern: '/', screen: Dashboard },
  { pattern: '/guests', screen: Guests },
  { pattern: '/guests/new', screen: create },
  { pattern: '/guests/:vmid', screen: guest },
  { pattern: '/guests/:vmid/:tab', screen: guest },
  { pattern: '/console/:vmid', screen: consoleWindow, isBare: true },
  { pattern: '/storage', screen: storages },
  { pattern: '/storage/:node/:storage', screen: storage },
  { pattern: '/storage/:node/:storage/:tab', screen: storage },
  { pattern: '/nodes', screen: nodes },
  { pattern: '/nodes/:node', screen: node },
  { pattern: '/nodes/:node/:tab', screen: node },
  { pattern: '/access', screen: access },
  { pattern: '/access/:tab', screen: access },
  { pattern: '/access/:tab/:id', screen: access },
  { pattern: '/account', screen: account },
  { pattern: '/tasks', screen: Tasks },
  { pattern: '/audit', screen: audit },
  { pattern: '/settings', screen: settings },
  { pattern: '/settings/:tab', screen: settings },
];

const Nowhere: Screen = () => <Empty icon="search" title={t('notFound')}><a href="/">{t('nav.dashboard')}</a></Empty>;

export interface Here { Screen: Screen; params: PathParams; isBare: boolean }

/** Subscribes to the address. */
export function here(): Here {
  for (const route of ROUTES) {
    const params = match(route.pattern, place.value.path);
    if (params)
      return { Screen: route.screen, params, isBare: route.isBare ?? false };
  }
  return { Screen: Nowhere, params: {}, isBare: false };
}
