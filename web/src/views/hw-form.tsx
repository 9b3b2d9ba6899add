// A dialog over keys of the configuration: its fields from a table, what will happen, and the call that it makes.
import { useRef, useState } from 'preact/hooks';
import { post, put, type Values as CallValues } from '../core/api.ts';
import { guestPath } from '../core/guests.ts';
import { atFields, changesOf, isEmpty, parametersOf, type Draft } from '../core/hardware-form.ts';
import { fieldsFor, type Spec } from '../core/hardware-specs.ts';
import { isLive, type Values } from '../core/hardware.ts';
import { t } from '../core/i18n.ts';
import { user } from '../core/session.ts';
import type { Guest } from '../core/store.ts';
import { act, run } from '../core/tasks.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { PlanDetails } from '../parts/plan.tsx';
import { SpecField } from './hw-fields.tsx';

/** What every dialog of a guest's configuration gets. */
export interface GuestConfig {
  guest: Guest;
  /** In force now, and with what waits for the next start. */
  now: Values;
  values: Values;
  digest: string;
  onDone: () => void;
  onClose: () => void;
}

export const isRoot = (): boolean => user.value === 'root@pam';
export const configPath = (g: Guest): string => `${guestPath(g)}/config`;

/** Says when the change of a running guest is felt. Nothing for one that is stopped. */
export function When({ config, changes }: { config: GuestConfig; changes: Readonly<Record<string, string | undefined>> }) {
  const keys = Object.keys(changes);
  if (config.guest.status === 'stopped' || !keys.length)
    return null;
  const isNow = keys.every((key) => isLive(key, config.now[key], changes[key], config.now));
  return <p class="hw-when quiet">{t(isNow ? 'hw.when.now' : 'hw.when.start')}</p>;
}

export function FieldList(p: { fields: readonly Spec[]; draft: Draft; config: GuestConfig; errors: Readonly<Record<string, string>>; hasNoFocus?: boolean; onChange: (path: string, value: string) => void }) {
  const first = p.fields.filter((f) => !f.isMore), more = p.fields.filter((f) => f.isMore);
  const field = (spec: Spec, i: number, isFirst: boolean) =>
    <SpecField key={spec.path} spec={spec} draft={p.draft} values={p.config.values} error={p.errors[spec.path]} node={p.config.guest.node} hasFocus={isFirst && i === 0 && !p.hasNoFocus} onChange={p.onChange} />;
  const isWrong = more.some((f) => p.errors[f.path]);
  return <>
    <div class={first.length > 3 ? 'form-grid' : 'stack'}>{first.map((f, i) => field(f, i, true))}</div>
    {more.length > 0 && <details class="hw-more" open={isWrong || undefined}><summary>{t('hw.more')}</summary><div class="form-grid">{more.map((f, i) => field(f, i, false))}</div></details>}
  </>;
}

/** Plan and equal call of a change. */
export function Preview({ config, changes, method = 'PUT', path = configPath(config.guest) }: { config: GuestConfig; changes: CallValues; method?: 'PUT' | 'POST'; path?: string }) {
  return <div class="stack hw-preview">
    <PlanDetails request={{ method, path, values: changes }} />
    <EqualCall method={method} path={path} values={changes} />
  </div>;
}

/** Sends a change. What takes long goes on as a task, told in a note, while the dialog is closed. */
export async function send(config: GuestConfig, what: string, values: CallValues, isLong: boolean, paths: readonly string[]): Promise<void> {
  const path = configPath(config.guest);
  try {
    if (!isLong) {
      await run(() => put(path, values));
      config.onDone();
      return;
    }
    const upid = await post(path, values);
    void act(what, () => Promise.resolve(upid)).then(config.onDone);
  } catch (e) {
    config.onDone(); // some of it may have been done
    throw atFields(e, Object.keys(values), paths);
  }
}

export function KeysDialog(p: { config: GuestConfig; title: string; id: string; fields: readonly Spec[]; start?: Draft; text?: string }) {
  const { config } = p;
  const [draft, setDraft] = useState<Draft>(p.start ?? {});
  const [held] = useState(config); // a change by somebody else meanwhile is refused by the digest, not overwritten
  const hasFailed = useRef(false); // of what failed a part may have been done: then the digest is another, too
  const fields = fieldsFor(p.fields, p.id, held.values, isRoot());
  const changes = changesOf(held.values, draft);
  const next = Object.fromEntries([...Object.entries(changes.set), ...changes.remove.map((k) => [k, undefined] as const)]);
  const submit = async (): Promise<void> => {
    if (isEmpty(changes))
      return;
    const digest = hasFailed.current ? config.digest : held.digest;
    hasFailed.current = true;
    await send(config, p.title, { ...parametersOf(changes), digest }, false, fields.map((f) => f.path));
  };
  return (
    <FormDialog title={p.title} submit={t('save')} isWide={fields.length > 3} onClose={config.onClose} onSubmit={submit}>
      {(errors) => <>
        {p.text && <p>{p.text}</p>}
        <FieldList fields={fields} draft={draft} config={held} errors={errors} onChange={(path, v) => setDraft((old) => ({ ...old, [path]: v }))} />
        <When config={config} changes={next} />
        {!isEmpty(changes) && <Preview config={held} changes={parametersOf(changes)} />}
      </>}
    </FormDialog>
  );
}
