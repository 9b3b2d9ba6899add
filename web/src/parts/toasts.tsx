import { t } from '../core/i18n.ts';
import { dismiss, notes } from '../core/tasks.ts';
import { Button } from './button.tsx';
import { State } from './state.tsx';

const STATE = { info: 'busy', good: 'ok', bad: 'failed' } as const;

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notes.value.map((n) => (
        <div key={n.id} class={`toast ${n.tone}`}>
          <State state={STATE[n.tone]} isBare />
          <div class="grow"><p>{n.text}</p>{n.detail && <p class="quiet">{n.detail}</p>}</div>
          <Button tone="ghost" icon="close" label={t('close')} onClick={() => dismiss(n.id)} />
        </div>
      ))}
    </div>
  );
}
