// A copy of a guest, and a guest made a template. Before either happens the server says what it would do.
import { useState } from 'preact/hooks';
import { get, post, type Values } from '../core/api.ts';
import { isName, isVmid } from '../core/create-check.ts';
import { diskStorages, usablePools, type OfferedStorage } from '../core/create-offer.ts';
import { guestPath } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can, loadPermissions } from '../core/perms.ts';
import { go, href, place } from '../core/router.ts';
import { quote } from '../core/shell.ts';
import type { Snapshot } from '../core/snapshot-tree.ts';
import type { Guest } from '../core/store.ts';
import { act, run } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Field, Select } from '../parts/field.tsx';
import { PlanList, usePlan } from '../parts/plan.tsx';
import { isLoaded, useLoad } from '../parts/use.ts';

interface DialogProps { guest: Guest; onClose: () => void }

interface Choices { nextid: string; storages: readonly OfferedStorage[]; snapshots: readonly Snapshot[]; pools: readonly string[] }

async function loadChoices(g: Guest): Promise<Choices> {
  const [nextid, storages, snapshots, pools] = await Promise.all([
    get<string | number>('/cluster/nextid'), get<OfferedStorage[]>(`${nodePath(g.node)}/storage`, { content: 'images', enabled: 1 }),
    get<Snapshot[]>(`${guestPath(g)}/snapshot`), get<{ poolid: string }[]>('/pools'),
  ]);
  const mine = diskStorages({ node: g.node, nextid: '', storages, bridges: [], pools: [], templates: [] });
  return { nextid: String(nextid), storages: mine, snapshots: snapshots.filter((s) => s.name !== 'current'), pools: usablePools(pools.map((p) => p.poolid)) };
}

interface Wish { newid: string; name: string; isFull: boolean; snapname: string; storage: string; format: string; pool: string | null }

function commandOf(g: Guest, values: Values): string {
  const flags = Object.entries(values).flatMap(([key, value]) =>
    value === undefined || key === 'newid' ? [] : key === 'full' ? ['--full'] : [`--${key === 'snapname' ? 'snapshot' : key} ${quote(String(value))}`]);
  return [`holm vm clone ${g.vmid} ${String(values['newid'])}`, ...flags].join(' \\\n  ');
}

function useClone(g: Guest, choices: Choices | null) {
  const [wish, setWish] = useState<Wish>({ newid: '', name: '', isFull: !g.template, snapname: '', storage: '', format: '', pool: null });
  const newid = wish.newid || (choices?.nextid ?? '');
  const pool = wish.pool ?? (can(`/vms/${newid}`, 'VM.Allocate') ? '' : (choices?.pools[0] ?? ''));
  const values: Values = {
    newid, name: wish.name.trim() || undefined, pool: pool || undefined, snapname: wish.snapname || undefined,
    ...(wish.isFull ? { full: g.template ? 1 : undefined, storage: wish.storage || undefined, format: wish.format || undefined } : {}),
  };
  const isGood = isVmid(newid) && (!wish.name.trim() || isName(wish.name.trim()));
  return { wish, set: (patch: Partial<Wish>): void => setWish({ ...wish, ...patch }), newid, pool, values, isGood };
}

export function CloneDialog({ guest: g, onClose }: DialogProps) {
  const found = useLoad(`clone ${g.vmid}`, '', () => loadChoices(g));
  const choices = found.value;
  const { wish, set, newid, pool, values, isGood } = useClone(g, choices);
  const path = `${guestPath(g)}/clone`;
  const plan = usePlan(choices && isGood ? { method: 'POST', path, values } : null);
  const pools = [...(can(`/vms/${newid}`, 'VM.Allocate') ? [['', t('create.pool.none')] as const] : []), ...(choices?.pools ?? []).map((p) => [p, p] as const)];
  const submit = async (): Promise<void> => {
    const upid = await post<string>(path, values); // what is refused is shown here; how it goes on, in a note
    void act(t('create.clone.title', { name: g.name }), () => Promise.resolve(upid)).then(async (isDone) => {
      await loadPermissions().catch(() => undefined);
      if (isDone && place.peek().path[0] === 'guests' && place.peek().path[1] === String(g.vmid))
        go(href('guests', newid));
    });
  };
  return (
    <FormDialog title={t('create.clone.title', { name: g.name })} submit={t('action.clone')} isReady={isLoaded(found)} onClose={onClose} onSubmit={submit}>
      {(fields) => <>
        <div class="fields">
          <Field label={t('guest.name')} name="name" value={wish.name} hasFocus onInput={(name) => set({ name })} help={t('create.clone.name.help', { name: `Copy-of-VM-${g.name}` })}
            error={fields['name'] ?? (wish.name.trim() && !isName(wish.name.trim()) ? t('create.wrong.name') : undefined)} />
          <Field label={t('guest.id')} name="newid" inputmode="numeric" value={newid} onInput={(v) => set({ newid: v })} error={fields['newid'] ?? (newid && !isVmid(newid) ? t('create.wrong.vmid') : undefined)} />
        </div>
        {!!g.template && <fieldset class="choices field">
          <legend>{t('create.clone.kind')}</legend>
          <div class="choice-list">{[false, true].map((isFull) => (
            <label key={String(isFull)} class="choice"><input type="radio" name="full" value={isFull ? 'full' : 'linked'} checked={wish.isFull === isFull} onChange={() => set({ isFull })} />
              <span><strong>{t(isFull ? 'create.clone.full' : 'create.clone.linked')}</strong><span class="field-help">{t(isFull ? 'create.clone.full.help' : 'create.clone.linked.help')}</span></span></label>
          ))}</div>
        </fieldset>}
        <div class="fields">
          {(choices?.snapshots.length ?? 0) > 0 && <Select label={t('create.clone.from')} value={wish.snapname} error={fields['snapname']} onChange={(snapname) => set({ snapname })} options={[['', t('create.clone.now')], ...(choices?.snapshots ?? []).map((s) => [s.name, s.name] as const)]} />}
          {wish.isFull && <Select label={t('create.cloneStorage')} value={wish.storage} error={fields['storage']} onChange={(storage) => set({ storage })} options={[['', t('create.sameStorage')], ...(choices?.storages ?? []).map((s) => [s.storage, s.storage] as const)]} />}
          {wish.isFull && <Select label={t('create.format')} value={wish.format} error={fields['format']} onChange={(format) => set({ format })} options={[['', t('create.clone.sameFormat')], ['raw', 'raw'], ['qcow2', 'qcow2']]} />}
          {(pools.length > 1 || pool !== '') && <Select label={t('guest.pool')} value={pool} error={fields['pool']} options={pools} onChange={(v) => set({ pool: v })} />}
        </div>
        {choices && isGood && <section class="review"><h3>{t('plan.title')}</h3><PlanList plan={plan} last={[t('create.plan.guest', { name: wish.name.trim() || `Copy-of-VM-${g.name}`, id: newid })]} /></section>}
        {choices && isGood && <EqualCall method="POST" path={path} values={values} command={commandOf(g, values)} />}
      </>}
    </FormDialog>
  );
}

export function TemplateDialog({ guest: g, onClose }: DialogProps) {
  const path = `${guestPath(g)}/template`;
  const [request] = useState({ method: 'POST' as const, path, values: {} });
  const plan = usePlan(request); // says why not, before anybody presses the button
  return (
    <FormDialog title={t('create.toTemplate.title', { name: g.name })} submit={t('action.template')} onClose={onClose} onSubmit={() => run(() => post(path))}>
      {() => <>
        <p>{t('create.toTemplate.text')}</p>
        <p class="quiet">{t('create.toTemplate.final')}</p>
        {plan.error !== null && <ErrorBox error={plan.error} />}
        <EqualCall method="POST" path={path} values={{}} command={`holm vm template ${g.vmid} -y`} />
      </>}
    </FormDialog>
  );
}
