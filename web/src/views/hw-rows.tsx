// The list of a tab: groups of rows, what each says, what waits for the next start, what can be done.
import { put } from '../core/api.ts';
import type { ConfigRow, Group, Waiting } from '../core/config-keys.ts';
import { said, saidShort } from '../core/hardware-text.ts';
import { isVolumeKey, parseDrive } from '../core/hardware.ts';
import { t, type Key } from '../core/i18n.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Icon, type IconName } from '../parts/icon.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { Tag } from '../parts/small.tsx';
import { configPath, type GuestConfig } from './hw-form.tsx';
import { ACTIONS, actionsOf, type Action } from './hw-may.ts';
import { openEdit } from './hw-open.ts';

const GROUPS: Readonly<Record<Group, Key>> = {
  processor: 'hw.group.processor', disks: 'hw.group.disks', network: 'key.net', devices: 'hw.group.devices', boot: 'hw.group.boot',
  general: 'hw.group.general', start: 'hw.group.start', behaviour: 'hw.group.behaviour', other: 'hw.group.other',
};

const KINDS: Readonly<Record<string, Key>> = { cdrom: 'hw.cd.title', cloudinit: 'hw.drive.cloudinit' };

/** What a row is called: "Disk (scsi0)". */
export function rowTitle(row: Pick<ConfigRow, 'key' | 'def'>, values: Readonly<Record<string, string>>): string {
  const { key, def } = row;
  if (def.group === 'other')
    return key;
  const kind = isVolumeKey(key) ? parseDrive(key, values[key] ?? '').kind : '';
  const label = t(KINDS[kind] ?? def.label);
  return def.isNumbered ? `${label} (${key})` : label;
}

const isCd = (key: string, value: string): boolean => isVolumeKey(key) && ['cdrom', 'cloudinit'].includes(parseDrive(key, value).kind);
const iconOf = (row: ConfigRow, value: string): IconName => (isCd(row.key, value) ? 'disc' : row.def.icon);

const mayRevert = (row: ConfigRow, config: GuestConfig): boolean => actionsOf(row.key, { ...config.now, ...config.values }, config.guest).length > 0;

async function revert(config: GuestConfig, what: string, keys: readonly string[]): Promise<void> {
  await act(t('config.revert', { what }), () => put(configPath(config.guest), { revert: keys.join(',') }));
  config.onDone();
}

function Waits({ list }: { list: readonly Waiting[] }) {
  return <>{list.map((w) => (
    <span key={w.key} class="waits"><Icon name="right" /><span>{list.length > 1 && <code>{w.key} </code>}{w.next === null ? t('config.leaves') : saidShort(w.key, w.next)} <span class="quiet">{t('config.waits')}</span></span></span>
  ))}</>;
}

function Value({ row, config }: { row: ConfigRow; config: GuestConfig }) {
  const isNew = row.waiting.length > 0 && row.def.isNumbered && !(row.key in config.now);
  const text = isNew ? { main: '' } : said(row.def, row.key, config.now);
  const tags = row.key === 'tags' ? (config.now['tags'] ?? '').split(/[;, ]+/).filter(Boolean) : [];
  return (
    <span class={`config-value${row.isSet ? '' : ' quiet'}`}>
      {tags.length > 0 ? <span class="row wrap">{tags.map((name) => <Tag key={name} name={name} />)}</span> : text.main && <span class="config-main">{text.main}</span>}
      {text.detail && <span class={`config-detail quiet${text.isMono ? ' mono' : ''}`}>{text.detail}</span>}
      <Waits list={row.waiting} />
    </span>
  );
}

function Tools({ row, config, what }: { row: ConfigRow; config: GuestConfig; what: string }) {
  const actions = actionsOf(row.key, config.values, config.guest);
  const [first, ...rest] = actions;
  const item = (a: Action) => (a === 'edit' ? null
    : <MenuItem key={a} icon={ACTIONS[a].icon} isDanger={ACTIONS[a].isDanger ?? false} onClick={() => openEdit(row.key, a)}>{t(ACTIONS[a].label)}</MenuItem>);
  const button = (a: Action) => (a === 'edit'
    ? <Button tone="ghost" icon="edit" label={t('config.edit', { what })} onClick={() => openEdit(row.key)} />
    : <Button tone="ghost" icon={ACTIONS[a].icon} label={`${t(ACTIONS[a].label)}: ${what}`} onClick={() => openEdit(row.key, a)} />);
  return (
    <span class="config-tools row">
      {row.waiting.length > 0 && mayRevert(row, config) && <Button tone="ghost" icon="back" label={t('config.revert', { what })} onClick={() => void revert(config, what, row.waiting.map((w) => w.key))} />}
      {first && button(first)}
      {rest.length === 1 && rest[0] ? button(rest[0]) : rest.length > 1 && <Menu label={t('hw.actions', { what })} icon="more" tone="ghost" isBare>{rest.map(item)}</Menu>}
    </span>
  );
}

function Row({ row, config }: { row: ConfigRow; config: GuestConfig }) {
  const all = { ...config.values, ...config.now };
  const what = rowTitle(row, all);
  return (
    <li id={`row-${row.key}`}>
      <span class="config-key"><Icon name={iconOf(row, all[row.key] ?? '')} /><span>{what}</span></span>
      <Value row={row} config={config} />
      <Tools row={row} config={config} what={what} />
    </li>
  );
}

export function Rows({ rows, config }: { rows: readonly ConfigRow[]; config: GuestConfig }) {
  const groups = [...new Set(rows.map((r) => r.def.group))];
  return <>{groups.map((group) => (
    <section key={group} class="config-group" aria-labelledby={`group-${group}`}>
      <h2 id={`group-${group}`}>{t(GROUPS[group])}</h2>
      <ul class="config panel">{rows.filter((r) => r.def.group === group).map((row) => <Row key={row.key} row={row} config={config} />)}</ul>
    </section>
  ))}</>;
}

/** Above the list: how much waits, and all of it taken back. */
export function WaitingBar({ rows, config }: { rows: readonly ConfigRow[]; config: GuestConfig }) {
  const waiting = rows.filter((r) => r.waiting.length);
  const keys = waiting.flatMap((r) => r.waiting.map((w) => w.key));
  if (!keys.length)
    return null;
  return (
    <div class="hw-waiting row wrap" role="status">
      <Icon name="reload" /><span class="grow">{t('hw.waiting', { n: keys.length })}</span>
      {waiting.every((r) => mayRevert(r, config)) && <Button icon="back" onClick={() => void revert(config, t('hw.revertAll'), keys)}>{t('hw.revertAll')}</Button>}
    </div>
  );
}
