// How far a guest is that is being made.
import { discard } from '../core/create-draft.ts';
import { guestHref, making, type Making } from '../core/create-making.ts';
import type { Call } from '../core/create-request.ts';
import { t, type Key } from '../core/i18n.ts';
import { go } from '../core/router.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { State } from '../parts/state.tsx';

const WHAT: Readonly<Record<Call['what'], Key>> = {
  create: 'create.making.create', clone: 'create.making.clone', configure: 'create.making.configure', resize: 'create.making.resize', start: 'create.making.start',
};

function stateOf(m: Making, i: number): string {
  if (i < m.at)
    return 'ok';
  return i > m.at ? 'stopped' : m.error ? 'failed' : 'busy';
}

export function MakingView({ m }: { m: Making }) {
  const leave = (to: string): void => {
    discard();
    making.value = null;
    go(to);
  };
  return (
    <section class="panel create-making" aria-live="polite">
      <h2>{t(m.error ? 'create.half' : 'create.making', { name: m.name })}</h2>
      <ol class="making">{m.calls.map((c, i) => <li key={c.what} class={i > m.at ? 'quiet' : undefined}><State state={stateOf(m, i)} isBare />{t(WHAT[c.what])}</li>)}</ol>
      {m.error !== null && <>
        <ErrorBox error={m.error} />
        <div class="row"><Button tone="main" onClick={() => leave(guestHref({ ...m, calls: [] }))}>{t('create.toGuest')}</Button></div>
      </>}
      {m.error === null && <p class="quiet">{t('create.making.help')}</p>}
    </section>
  );
}
