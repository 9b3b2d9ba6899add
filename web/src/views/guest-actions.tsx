// What can be done with a guest, as buttons: the likeliest first, the rest in a menu; what destroys something asks.
import { useState } from 'preact/hooks';
import { mayCreate } from '../core/create-rights.ts';
import { GUEST_ACTIONS, mayAct, startAction, type GuestAction } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import { canGuest } from '../core/perms.ts';
import type { Guest } from '../core/store.ts';
import { act, run } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Menu, MenuItem } from '../parts/menu.tsx';
import { lazy } from './routes.tsx';

interface AskProps { guest: Guest; onClose: () => void }
const CloneDialog = lazy<AskProps>('create', () => import('./clone.tsx').then((m) => ({ default: m.CloneDialog })));
const DestroyDialog = lazy<AskProps>('guest', () => import('./guest-destroy.tsx').then((m) => ({ default: m.DestroyDialog })));
const TemplateDialog = lazy<AskProps>('create', () => import('./clone.tsx').then((m) => ({ default: m.TemplateDialog })));

type Ask = { kind: 'hard'; action: GuestAction } | { kind: 'destroy' | 'clone' | 'template' } | null;

function Questions({ guest: g, ask, onClose }: { guest: Guest; ask: Ask; onClose: () => void }) {
  if (ask?.kind === 'hard') {
    const what = `${t(ask.action.label)} ${g.name}`;
    return <FormDialog title={what} submit={t(ask.action.label)} isDanger onClose={onClose} onSubmit={() => run(() => startAction(g, ask.action))}>{() => <p>{t('confirm.hard')}</p>}</FormDialog>;
  }
  if (ask?.kind === 'destroy')
    return <DestroyDialog guest={g} onClose={onClose} />;
  if (ask?.kind === 'clone')
    return <CloneDialog guest={g} onClose={onClose} />;
  return ask?.kind === 'template' ? <TemplateDialog guest={g} onClose={onClose} /> : null;
}

export function GuestActions({ guest: g }: { guest: Guest }) {
  const [ask, setAsk] = useState<Ask>(null);
  const offered = GUEST_ACTIONS.filter((a) => mayAct(g, a));
  const start = (a: GuestAction): void => {
    if (a.isHard)
      setAsk({ kind: 'hard', action: a });
    else
      void act(`${t(a.label)} ${g.name}`, () => startAction(g, a));
  };
  const first = offered[0];
  const rest = offered.slice(1);
  const mayClone = canGuest(g.vmid, 'VM.Clone') && mayCreate();
  const mayTemplate = canGuest(g.vmid, 'VM.Allocate') && g.status === 'stopped' && !g.template;
  const mayDestroy = canGuest(g.vmid, 'VM.Allocate') && g.status === 'stopped';
  return (
    <div class="row">
      {first && <Button tone="main" icon={first.icon} onClick={() => start(first)}>{t(first.label)}</Button>}
      {(rest.length > 0 || mayClone || mayTemplate || mayDestroy) && (
        <Menu label={t('more')} icon="more" isBare>
          {rest.map((a) => <MenuItem key={a.id} icon={a.icon} isDanger={a.isHard} onClick={() => start(a)}>{t(a.label)}</MenuItem>)}
          {mayClone && <MenuItem icon="copy" onClick={() => setAsk({ kind: 'clone' })}>{t('action.clone')} …</MenuItem>}
          {mayTemplate && <MenuItem icon="star" onClick={() => setAsk({ kind: 'template' })}>{t('action.template')} …</MenuItem>}
          {mayDestroy && <MenuItem icon="trash" isDanger onClick={() => setAsk({ kind: 'destroy' })}>{t('action.destroy')}</MenuItem>}
        </Menu>
      )}
      <Questions guest={g} ask={ask} onClose={() => setAsk(null)} />
    </div>
  );
}
