// Privileges as people read them: by what they are about.
import { t, type Key } from '../core/i18n.ts';

const AREAS: readonly (readonly [prefix: string, title: Key])[] = [
  ['VM', 'access.area.vm'], ['Datastore', 'access.area.datastore'], ['SDN', 'access.area.sdn'], ['Sys', 'access.area.sys'], ['Pool', 'access.area.pool'],
  ['Mapping', 'access.area.mapping'], ['User', 'access.area.users'], ['Group', 'access.area.users'], ['Realm', 'access.area.users'], ['Permissions', 'access.area.users'],
];

const areaOf = (privilege: string): Key => AREAS.find(([prefix]) => prefix === privilege.split('.')[0])?.[1] ?? 'access.area.other';

/** The areas in their order, each with its privileges; empty ones are left out. */
export function byArea(privileges: readonly string[]): (readonly [Key, string[]])[] {
  const titles = [...new Set<Key>([...AREAS.map(([, title]) => title), 'access.area.other'])];
  return titles.map((title) => [title, privileges.filter((p) => areaOf(p) === title).sort()] as const).filter(([, list]) => list.length > 0);
}

export function PrivilegeBoxes(p: { all: readonly string[]; chosen: ReadonlySet<string>; onChange?: (chosen: ReadonlySet<string>) => void }) {
  const put = (names: readonly string[], isOn: boolean): void => {
    const next = new Set(p.chosen);
    for (const name of names) {
      if (isOn)
        next.add(name);
      else
        next.delete(name);
    }
    p.onChange?.(next);
  };
  return (
    <div class="privileges">
      {byArea(p.all).map(([title, names]) => {
        const isAll = names.every((n) => p.chosen.has(n));
        return (
          <fieldset key={title}>
            <legend>{t(title)}</legend>
            {p.onChange && names.length > 1 && <label class="check all"><input type="checkbox" checked={isAll} onChange={() => put(names, !isAll)} /><span>{t('access.all')}</span></label>}
            {names.map((n) => p.onChange
              ? <label key={n} class="check"><input type="checkbox" checked={p.chosen.has(n)} onChange={() => put([n], !p.chosen.has(n))} /><span class="mono">{n}</span></label>
              : <Privilege key={n} name={n} isOn={p.chosen.has(n)} />)}
          </fieldset>
        );
      })}
    </div>
  );
}

const TICK = 'm2 6.3 2.8 2.9L10 3.2', DASH = 'M3.5 6h5';

function Privilege({ name, isOn }: { name: string; isOn: boolean }) {
  return (
    <span class={isOn ? 'privilege on' : 'privilege'}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><path d={isOn ? TICK : DASH} fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" /></svg>
      <span class="mono">{name}</span><span class="hidden-text">{isOn ? t('yes') : t('no')}</span>
    </span>
  );
}
