// What is around every view: navigation (a rail, on a phone a bar at the bottom), search, who is signed in.
import type { ComponentChildren } from 'preact';
import { t, type Key } from '../core/i18n.ts';
import { isOnline } from '../core/live.ts';
import { can, canAnywhere } from '../core/perms.ts';
import { go, place } from '../core/router.ts';
import { signOut, user } from '../core/session.ts';
import { store } from '../core/store.ts';
import { outcome } from '../core/tasks.ts';
import { Icon, type IconName } from '../parts/icon.tsx';
import { isPaletteOpen, paletteViews } from '../parts/palette.tsx';
import { TaskDrawer } from '../parts/drawer.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { PrefsMenu } from './prefs-menu.tsx';
import { Mark } from './signin.tsx';

function RunningTasks() {
  const n = store.tables.task.all().filter((row) => outcome(row.value) === 'running').length;
  return n ? <span class="badge num" aria-label={t('tasks.running', { n })}>{n}</span> : null;
}

interface Entry { href: string; icon: IconName; text: Key; mayUse?: () => boolean }

/** A phone shows the first of them in its bar, the rest behind "More". */
const NAV: readonly Entry[] = [
  { href: '/', icon: 'home', text: 'nav.dashboard' },
  { href: '/guests', icon: 'guests', text: 'nav.guests' },
  { href: '/storage', icon: 'disk', text: 'nav.storage' },
  { href: '/tasks', icon: 'tasks', text: 'nav.tasks' },
  { href: '/nodes', icon: 'node', text: 'nav.nodes' },
  { href: '/access', icon: 'key', text: 'nav.access', mayUse: () => ACCESS_PRIVILEGES.some(canAnywhere) },
  { href: '/audit', icon: 'log', text: 'nav.audit', mayUse: () => can('/', 'Sys.Audit') },
  { href: '/settings', icon: 'gear', text: 'nav.settings' },
];
const ON_PHONE = 4;
const ACCESS_PRIVILEGES = ['Sys.Audit', 'User.Modify', 'Permissions.Modify', 'Realm.AllocateUser', 'Group.Allocate', 'Pool.Audit', 'Pool.Allocate'];

/** Views that the user may open, for the rail and the command palette. */
export const navigation = (): Entry[] => NAV.filter((e) => e.mayUse?.() ?? true);

paletteViews.list = () => [...navigation(), { href: '/account', icon: 'user', text: 'nav.account' }];

function Rail() {
  const first = place.value.path[0] ?? '';
  const isHere = (e: Entry): boolean => e.href === `/${first}`;
  const all = navigation();
  const link = (e: Entry, isLate: boolean) => (
    <a key={e.href} href={e.href} class={isLate ? 'late' : undefined} aria-current={isHere(e) ? 'page' : undefined}>
      <Icon name={e.icon} /><span>{t(e.text)}</span>{e.href === '/tasks' && <RunningTasks />}
    </a>
  );
  return (
    <nav class="rail" aria-label={t('nav.main')}>
      <a class="brand" href="/"><Mark /><span>Holm</span></a>
      <div class="links">
        {all.map((e, i) => link(e, i >= ON_PHONE))}
        <Menu label={t('nav.more')} icon="more" tone="ghost">
          {all.slice(ON_PHONE).map((e) => <MenuItem key={e.href} icon={e.icon} onClick={() => go(e.href)}>{t(e.text)}</MenuItem>)}
        </Menu>
      </div>
    </nav>
  );
}

export function Shell({ children }: { children: ComponentChildren }) {
  return (
    <div class="shell">
      <a class="skip" href="#content">{t('nav.skip')}</a>
      <Rail />
      <header class="bar row">
        <button type="button" class="open-palette" onClick={() => { isPaletteOpen.value = true; }}>
          <Icon name="search" /><span class="grow">{t('palette.open')}</span><kbd>Ctrl K</kbd>
        </button>
        <span class="grow" />
        {!isOnline.value && <span class="offline" role="status"><Icon name="warn" /><span>{t('offline')}</span></span>}
        <Menu label={user.value} icon="user" tone="ghost">
          <PrefsMenu />
          <MenuItem icon="user" onClick={() => go('/account')}>{t('nav.account')}</MenuItem>
          <MenuItem icon="power" onClick={() => void signOut()}>{t('signout')}</MenuItem>
        </Menu>
      </header>
      <main id="content" tabIndex={-1}>{children}</main>
      <TaskDrawer />
    </div>
  );
}
