// One CPU model: made anew or changed.
import { useState } from 'preact/hooks';
import { get, post, put, type Values } from '../core/api.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { nodeNames } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';
import { bareName, MODELS, type CpuModel } from './settings-cpu.tsx';

interface Known { name: string; custom: number; abstract?: number; vendor: string }
interface Form { name: string; model: string; flags: string; physBits: string; guestBits: string; vendor: string; level: string; isHidden: boolean }

/** "+aes -pcid", "aes, -pcid": as it is typed, to "+aes;-pcid". */
export const flagText = (text: string): string => text.split(/[\s,;]+/).filter(Boolean).map((f) => (/^[+-]/.test(f) ? f : `+${f}`)).join(';');

const formOf = (m: CpuModel | undefined): Form => ({
  name: m ? bareName(m) : '', model: m?.['reported-model'] ?? 'kvm64', flags: (m?.flags ?? '').replaceAll(';', ' '), physBits: m?.['phys-bits'] ?? '',
  guestBits: String(m?.['guest-phys-bits'] ?? ''), vendor: m?.['hv-vendor-id'] ?? '', level: String(m?.level ?? ''), isHidden: m?.hidden === 1,
});

function valuesOf(f: Form, before: CpuModel | undefined): Values {
  const wanted = { 'reported-model': f.model, flags: flagText(f.flags), 'phys-bits': f.physBits, 'guest-phys-bits': f.guestBits, 'hv-vendor-id': f.vendor, level: f.level, hidden: f.isHidden ? '1' : '' };
  const set = Object.entries(wanted).filter(([, v]) => v !== '');
  const gone = Object.entries(wanted).filter(([k, v]) => v === '' && before?.[k as keyof CpuModel] !== undefined).map(([k]) => k);
  return { ...Object.fromEntries(set), delete: gone.join(',') || undefined };
}

export function CpuModelDialog({ before, onDone, onClose }: { before: CpuModel | undefined; onDone: () => void; onClose: () => void }) {
  const [f, setForm] = useState<Form>(() => formOf(before));
  const node = nodeNames()[0];
  const known = useLoad(`cpus ${node}`, '', () => (node ? get<Known[]>(`${nodePath(node)}/capabilities/qemu/cpu`) : Promise.resolve([]))).value ?? [];
  const names = [...new Set([f.model, 'host', 'max', ...known.filter((k) => !k.custom && !k.abstract).map((k) => k.name)])].sort((a, b) => a.localeCompare(b));
  const set = <K extends keyof Form>(key: K) => (v: Form[K]): void => setForm({ ...f, [key]: v });
  const values = valuesOf(f, before);
  const path = before ? `${MODELS}/${encodeURIComponent(bareName(before))}` : MODELS;
  const submit = async (): Promise<void> => {
    await (before ? put(path, { ...values, digest: before.digest }) : post(path, { cputype: f.name, ...values }));
    onDone();
  };
  return (
    <FormDialog title={before ? t('config.edit', { what: before.cputype }) : t('settings.cpu.create')} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <>
        {!before && <Field label={t('guest.name')} value={f.name} onInput={set('name')} error={fields['cputype']} isRequired hasFocus help={t('settings.cpu.nameHelp')} />}
        <Select label={t('settings.cpu.model')} value={f.model} error={fields['reported-model']} options={names.map((n) => [n, n] as const)} onChange={set('model')} />
        <Field label={t('settings.cpu.flags')} value={f.flags} onInput={set('flags')} error={fields['flags']} help={t('settings.cpu.flagsHelp')} />
        <div class="pair">
          <Field label={t('settings.cpu.physBits')} value={f.physBits} onInput={set('physBits')} error={fields['phys-bits']} help={t('settings.cpu.physBitsHelp')} />
          <Field label={t('settings.cpu.guestBits')} type="number" value={f.guestBits} onInput={set('guestBits')} error={fields['guest-phys-bits']} />
          <Field label={t('settings.cpu.vendor')} value={f.vendor} onInput={set('vendor')} error={fields['hv-vendor-id']} />
          <Field label={t('settings.cpu.level')} type="number" value={f.level} onInput={set('level')} error={fields['level']} />
        </div>
        <Check label={t('settings.cpu.hidden')} help={t('settings.cpu.hiddenHelp')} value={f.isHidden} onChange={set('isHidden')} />
        {before && <p class="quiet">{t('settings.cpu.nextStart')}</p>}
        <EqualCall method={before ? 'PUT' : 'POST'} path={path} values={before ? values : { cputype: f.name, ...values }} />
      </>}
    </FormDialog>
  );
}
