// Everything that the keyboard does.
import { t, type Key } from '../core/i18n.ts';
import { Panel } from '../parts/small.tsx';

const GROUPS: readonly (readonly [Key, readonly (readonly [string, Key])[]])[] = [
  ['settings.keys.everywhere', [['Ctrl K', 'settings.keys.palette'], ['/', 'settings.keys.search'], ['Escape', 'settings.keys.close'], ['Tab', 'settings.keys.next'],
    ['Ctrl Enter', 'settings.keys.review'], ['Ctrl Shift F6', 'settings.keys.leave']]],
  ['settings.keys.lists', [['↑ ↓', 'settings.keys.row'], ['Page↑ Page↓', 'settings.keys.page'], ['Home End', 'settings.keys.ends'], ['Enter', 'settings.keys.open'],
    ['Space', 'settings.keys.select'], ['Shift ↑ ↓', 'settings.keys.range'], ['Ctrl A', 'settings.keys.all']]],
  ['settings.keys.menus', [['↑ ↓', 'settings.keys.item'], ['Enter', 'settings.keys.choose']]],
];

export function SettingsKeys() {
  return (
    <div class="board">
      {GROUPS.map(([title, keys]) => (
        <Panel key={title} title={t(title)}>
          <dl class="keys">{keys.map(([combination, what]) => <div key={combination}><dt>{combination.split(' ').map((k) => <kbd key={k}>{k}</kbd>)}</dt><dd>{t(what)}</dd></div>)}</dl>
        </Panel>
      ))}
    </div>
  );
}
