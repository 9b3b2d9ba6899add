// A secret that the server tells once: to be copied or saved, and said to be stored before the dialog goes.
import { useLayoutEffect, useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { copyText } from '../parts/equal.tsx';
import { saveText } from '../parts/save-text.ts';
import { State } from '../parts/state.tsx';

export interface Part { label: string; text: string }

/** file: its name and text, for what is many lines. */
export function SecretDialog(p: { title: string; help: string; parts: readonly Part[]; file?: { name: string; text: string }; onClose: () => void }) {
  // Escape closes every <dialog>; this one comes back until somebody says that the secret is stored.
  const [turn, setTurn] = useState(0);
  useLayoutEffect(() => { // nobody is asked once it is closed
    const ask = (e: BeforeUnloadEvent): void => e.preventDefault();
    addEventListener('beforeunload', ask);
    return () => removeEventListener('beforeunload', ask);
  }, []);
  return (
    <Dialog key={turn} title={p.title} onClose={() => setTurn((n) => n + 1)}>
      <div class="stack">
        <p class={turn ? 'warn-text' : undefined}>{p.help}</p>
        {p.parts.map((part) => (
          <div key={part.label} class="code-box">
            <div class="row"><h3 class="grow">{part.label}</h3><Button tone="ghost" icon="copy" label={`${t('copy')}: ${part.label}`} onClick={() => void copyText(part.text)} /></div>
            <pre class="code secret" tabIndex={0} aria-label={part.label}>{part.text}</pre>
          </div>
        ))}
        {turn > 0 && <p class="row warn-text"><State state="warning" isBare /><span>{t('access.secret.lost')}</span></p>}
        <footer class="row dialog-foot">
          {p.file && <Button icon="download" onClick={() => saveText(p.file?.name ?? '', p.file?.text ?? '')}>{t('access.secret.save')}</Button>}
          <Button tone="main" icon="check" onClick={p.onClose}>{t('access.secret.stored')}</Button>
        </footer>
      </div>
    </Dialog>
  );
}
