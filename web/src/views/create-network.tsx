// The interfaces of a new guest. Without a bridge an interface is behind address translation: out, and nothing in.
import { newNic, type Nic } from '../core/create.ts';
import { change } from '../core/create-draft.ts';
import { mayBridge } from '../core/create-offer.ts';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { Field, Select } from '../parts/field.tsx';
import type { Wizard } from './create-wizard.ts';

const MODELS: readonly (readonly [string, string])[] = [['virtio', 'VirtIO'], ['e1000e', 'Intel e1000e'], ['e1000', 'Intel e1000'], ['vmxnet3', 'VMware vmxnet3'], ['rtl8139', 'Realtek RTL8139']];

export const modelName = (model: string): string => MODELS.find(([id]) => id === model)?.[1] ?? model;

function NicFields({ w, nic, i }: { w: Wizard; nic: Nic; i: number }) {
  const set = (patch: Partial<Nic>): void => change({ nics: w.d.nics.map((x, k) => (k === i ? { ...x, ...patch } : x)) });
  const isVmm = w.d.engine === 'vmm';
  const bridges = [...(isVmm ? [] : [['', t('picker.nat')] as const]), ...w.offer.bridges.map((b) => [b.iface, b.comments?.trim() ? `${b.iface} (${b.comments.trim()})` : b.iface] as const)];
  const noRight = nic.tag.trim() && nic.bridge && !mayBridge(nic.bridge, nic.tag.trim()) ? t('create.tag.right') : undefined;
  return (
    <fieldset class="group item">
      <legend>net{i}</legend>
      <div class="fields three">
        <Select label={t('create.bridge')} value={nic.bridge ?? ''} error={w.wrong(`net${i}`)} options={bridges} onChange={(bridge) => set(bridge ? { bridge } : { bridge, tag: '', rate: '' })} />
        {!isVmm && <Select label={t('create.model')} value={nic.model} options={MODELS} onChange={(model) => set({ model })} />}
        <Button tone="ghost" icon="trash" label={t('create.nic.remove', { n: i })} onClick={() => change({ nics: w.d.nics.filter((_, k) => k !== i) })} />
      </div>
      {!nic.bridge && <p class="quiet">{t('create.nat.help')}</p>}
      <details>
        <summary>{t('create.more')}</summary>
        <div class="fields three">
          <Field label={t('create.mac')} name={`mac${i}`} value={nic.mac} error={w.wrong(`mac${i}`)} onInput={(mac) => set({ mac })} help={t('create.mac.help')} />
          {nic.bridge && <Field label={t('create.tag')} name={`tag${i}`} inputmode="numeric" value={nic.tag} error={w.wrong(`tag${i}`) ?? noRight} onInput={(tag) => set({ tag })} help={t('create.tag.help')} />}
          {nic.bridge && <Field label={t('create.rate')} name={`rate${i}`} inputmode="numeric" value={nic.rate} error={w.wrong(`rate${i}`)} onInput={(rate) => set({ rate })} help={t('create.rate.help')} />}
        </div>
      </details>
    </fieldset>
  );
}

export function NetworkStep({ w }: { w: Wizard }) {
  if (!w.may('VM.Config.Network'))
    return <p class="quiet">{t('create.network.right')}</p>;
  const isPossible = w.d.engine !== 'vmm' || w.offer.bridges.length > 0;
  return (
    <>
      {w.d.nics.map((nic, i) => <NicFields key={i} w={w} nic={nic} i={i} />)}
      {w.d.nics.length === 0 && <p class="quiet">{isPossible ? t('create.network.none') : t('create.network.vmm')}</p>}
      {isPossible && <div><Button icon="plus" onClick={() => change({ nics: [...w.d.nics, newNic(w.d)] })}>{t('create.nic.add')}</Button></div>}
    </>
  );
}
