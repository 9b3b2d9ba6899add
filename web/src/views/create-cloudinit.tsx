// What cloud-init sets up at the first start: a user, his keys, addresses.
import { useState } from 'preact/hooks';
import type { Nic } from '../core/create.ts';
import { change, password } from '../core/create-draft.ts';
import { t } from '../core/i18n.ts';
import { Check, Field, Select, TextArea } from '../parts/field.tsx';
import { Button } from '../parts/button.tsx';
import type { Wizard } from './create-wizard.ts';

function Addresses({ w, nic, i }: { w: Wizard; nic: Nic; i: number }) {
  const set = (patch: Partial<Nic>): void => change({ nics: w.d.nics.map((x, k) => (k === i ? { ...x, ...patch } : x)) });
  return (
    <fieldset class="group">
      <legend>{t('create.addresses', { name: `net${i}` })}</legend>
      <div class="fields three">
        <Select label="IPv4" value={nic.ip} onChange={(ip) => set({ ip: ip as Nic['ip'] })} options={[['dhcp', t('create.ip.dhcp')], ['static', t('create.ip.static')], ['', t('create.ip.none')]]} />
        {nic.ip === 'static' && <Field label={t('create.address')} name={`address${i}`} value={nic.address} error={w.wrong(`address${i}`)} onInput={(address) => set({ address })} help={t('create.address.help')} />}
        {nic.ip === 'static' && <Field label={t('create.gateway')} name={`gateway${i}`} value={nic.gateway} error={w.wrong(`gateway${i}`)} onInput={(gateway) => set({ gateway })} />}
        <Select label="IPv6" value={nic.ip6} onChange={(ip6) => set({ ip6: ip6 as Nic['ip6'] })} options={[['', t('create.ip.none')], ['auto', t('create.ip.auto')], ['dhcp', t('create.ip.dhcp')], ['static', t('create.ip.static')]]} />
        {nic.ip6 === 'static' && <Field label={t('create.address6')} name={`address6${i}`} value={nic.address6} error={w.wrong(`address6${i}`)} onInput={(address6) => set({ address6 })} help={t('create.address6.help')} />}
        {nic.ip6 === 'static' && <Field label={t('create.gateway6')} name={`gateway6${i}`} value={nic.gateway6} error={w.wrong(`gateway6${i}`)} onInput={(gateway6) => set({ gateway6 })} />}
      </div>
    </fieldset>
  );
}

function Password() {
  const [isShown, setShown] = useState(false);
  return (
    <div class="row ci-password">
      <div class="grow"><Field label={t('create.password')} name="cipassword" type={isShown ? 'text' : 'password'} autocomplete="new-password" value={password.value} onInput={(v) => { password.value = v; }} help={t('create.password.help')} /></div>
      <Button tone="ghost" onClick={() => setShown(!isShown)} isPressed={isShown}>{t('create.password.show')}</Button>
    </div>
  );
}

export function CloudInitStep({ w }: { w: Wizard }) {
  const isTemplate = w.d.source === 'template';
  if (isTemplate && !w.hasDrive)
    return <p class="quiet">{w.d.template ? t('create.ci.noDrive') : t('create.ci.chooseTemplate')}</p>;
  return (
    <>
      <Check label={t(isTemplate ? 'create.ci.own' : 'create.ci.use')} help={t(isTemplate ? 'create.ci.own.help' : 'create.ci.use.help')} value={w.d.hasCloudInit} onChange={(hasCloudInit) => change({ hasCloudInit })} />
      {w.d.hasCloudInit && <>
        {w.wrong('citype') && <p class="field-error">{w.wrong('citype')}</p>}
        <div class="fields">
          <Field label={t('create.user')} name="ciuser" value={w.d.ciuser} error={w.wrong('ciuser')} onInput={(ciuser) => change({ ciuser })} help={t('create.user.help')} />
          <Password />
        </div>
        <TextArea label={t('create.sshkeys')} value={w.d.sshkeys} error={w.wrong('sshkeys')} onInput={(sshkeys) => change({ sshkeys })} help={t('create.sshkeys.help')} />
        {!w.d.sshkeys.trim() && !password.value && <p class="warn-text">{t('create.ci.noLogin')}</p>}
        {w.d.nics.map((nic, i) => <Addresses key={i} w={w} nic={nic} i={i} />)}
        <div class="fields">
          <Field label={t('create.nameserver')} name="nameserver" value={w.d.nameserver} error={w.wrong('nameserver')} onInput={(nameserver) => change({ nameserver })} help={t('create.nameserver.help')} />
          <Field label={t('create.searchdomain')} name="searchdomain" value={w.d.searchdomain} error={w.wrong('searchdomain')} onInput={(searchdomain) => change({ searchdomain })} />
        </div>
        <Check label={t('create.ciupgrade')} value={w.d.ciupgrade} onChange={(ciupgrade) => change({ ciupgrade })} />
      </>}
    </>
  );
}
