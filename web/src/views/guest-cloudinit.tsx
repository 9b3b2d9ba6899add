// Cloud-init: what the guest is told at its start, whether it has been told, and the files that are made of it.
import { useState } from 'preact/hooks';
import { get, put } from '../core/api.ts';
import { current, wanted, type Pending } from '../core/config-keys.ts';
import { guestPath } from '../core/guests.ts';
import { parseDrive, type Values } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import { href } from '../core/router.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { copyText } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Select } from '../parts/field.tsx';
import { Waiting } from '../parts/loading.tsx';
import { Empty, Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';
import { CI_ROWS, CloudInitDialog, nicKeys, type CiRow } from './hw-cloudinit.tsx';
import { AddCloudInit } from './hw-add.tsx';
import type { GuestConfig } from './hw-form.tsx';
import { closeDialog, openAdd, openEdit, opened } from './hw-open.ts';
import { versionOf } from './hw-page.tsx';

interface Loaded { pending: readonly Pending[]; known: readonly Pending[]; digest: string }

async function load(path: string): Promise<Loaded> {
  const { digest } = await get<{ digest: string }>(`${path}/config`);
  const [pending, known] = await Promise.all([get<Pending[]>(`${path}/pending`), get<Pending[]>(`${path}/cloudinit`)]);
  return { pending, known, digest };
}

const FILES = ['user', 'network', 'meta'] as const;
type File = (typeof FILES)[number];

function Dump({ guest, version }: { guest: Guest; version: string }) {
  const [type, setType] = useState<File>('user');
  const path = `${guestPath(guest)}/cloudinit/dump`;
  const { value, error, reload } = useLoad(`${path} ${type}`, version, () => get<string>(path, { type }));
  return (
    <Panel title={t('ci.dump')} tools={<>
      <Select label={t('ci.file')} value={type} options={[['user', 'user-data'], ['network', 'network-config'], ['meta', 'meta-data']]} onChange={(v) => setType(v as File)} />
      <Button tone="ghost" icon="copy" label={t('copy')} isDisabled={!value} onClick={() => void copyText(value ?? '')} />
    </>}>
      {error ? <ErrorBox error={error} onRetry={reload} /> : <pre class="code ci-dump" tabIndex={0} aria-label={t('ci.dump')}>{value ?? ''}</pre>}
    </Panel>
  );
}

function Row({ row, known, values, may }: { row: CiRow; known: ReadonlyMap<string, Pending>; values: Values; may: boolean }) {
  const one = known.get(row.key);
  const now = one?.value === undefined ? '' : String(one.value);
  const isWaiting = one !== undefined && (one.pending !== undefined || !!one.delete);
  const next = one?.delete ? t('config.leaves') : row.shown(values[row.key] ?? '');
  const what = row.title;
  return (
    <li id={`row-${row.key}`}>
      <span class="config-key">{what}</span>
      <span class={`config-value${now ? '' : ' quiet'}`}>
        <span class="config-main">{row.shown(now) || row.unset}</span>
        {isWaiting && <span class="waits"><span>{next} <span class="quiet">{t('ci.waits')}</span></span></span>}
      </span>
      <span class="config-tools row">{may && <Button tone="ghost" icon="edit" label={t('config.edit', { what })} onClick={() => openEdit(row.key)} />}</span>
    </li>
  );
}

function NoDrive({ config, mayAdd }: { config: GuestConfig; mayAdd: boolean }) {
  return <>
    <section class="panel"><Empty icon="disc" title={t('ci.none')}>
      <p class="quiet ci-text">{t('ci.noneHelp')}</p>
      {mayAdd && <Button tone="main" icon="plus" onClick={() => openAdd('cloudinit')}>{t('hw.add.cloudinit')}</Button>}
    </Empty></section>
    {mayAdd && opened().add === 'cloudinit' && <AddCloudInit config={config} />}
  </>;
}

export default function GuestCloudInit({ guest }: { guest: Guest }) {
  const path = guestPath(guest);
  const version = versionOf(guest);
  const { value, error, reload } = useLoad(path, version, () => load(path));
  if (error && !value)
    return <ErrorBox error={error} onRetry={reload} />;
  if (!value)
    return <Waiting />;
  const now = current(value.pending), values = wanted(value.pending);
  const config: GuestConfig = { guest, now, values, digest: value.digest, onDone: reload, onClose: closeDialog };
  const drive = Object.entries(values).map(([key, v]) => parseDrive(key, v)).find((d) => d.kind === 'cloudinit');
  const may = canGuest(guest.vmid, 'VM.Config.Cloudinit') || canGuest(guest.vmid, 'VM.Config.Network');
  if (!drive)
    return <NoDrive config={config} mayAdd={canGuest(guest.vmid, 'VM.Config.Disk')} />;
  const known = new Map(value.known.map((p) => [p.key, p]));
  const rows = [...CI_ROWS(), ...nicKeys(values)];
  const waits = value.known.filter((p) => p.pending !== undefined || p.delete).length;
  const make = async (): Promise<void> => {
    await act(t('ci.make'), () => put(`${path}/cloudinit`));
    reload();
  };
  const open = rows.find((r) => r.key === opened().edit);
  return (
    <div class="hw">
      <div class="row wrap hw-head">
        <p class="grow quiet">{t('ci.intro')} <a href={href('guests', guest.vmid, 'hardware')}>{t('ci.drive', { key: drive.key, storage: drive.storage })}</a></p>
        {canGuest(guest.vmid, 'VM.Config.Cloudinit') && <Button icon="reload" tone={waits ? 'main' : 'plain'} onClick={() => void make()}>{t('ci.make')}</Button>}
      </div>
      {waits > 0 && <p class="hw-waiting" role="status">{t('ci.waiting', { n: waits })}</p>}
      <ul class="config panel">{rows.map((row) => <Row key={row.key} row={row} known={known} values={values} may={may} />)}</ul>
      <Dump guest={guest} version={`${version} ${JSON.stringify(value.known)}`} />
      {may && open && <CloudInitDialog key={open.key} config={config} row={open} />}
    </div>
  );
}
