// Types a text into the guest: the way for what lies in one's own clipboard.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { GuestConfig, Kind } from '../core/console.ts';
import type { Device } from '../core/console-device.ts';
import { missing } from '../core/console-keys.ts';
import { choose } from '../core/console-prefs.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { notify } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Select, TextArea } from '../parts/field.tsx';
import { Meter } from '../parts/small.tsx';
import { guessLayout, layoutOptions } from './console-menu.tsx';

const SHOWN = 12; // characters that cannot be typed

interface Props { guest: Guest; kind: Kind; config: GuestConfig; device: Device; layout: string; onClose: () => void }

export function PasteDialog({ guest, kind, config, device, layout, onClose }: Props) {
  const [text, setText] = useState('');
  const [own, setOwn] = useState(layout || guessLayout(guest, config));
  const [part, setPart] = useState<number | null>(null);
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const isScreen = kind === 'vnc';
  const lost = isScreen ? missing(text, own) : [];
  const fetchText = (): void => {
    navigator.clipboard.readText().then(setText, () => notify({ tone: 'bad', text: t('console.clipboardNo') }));
  };
  const type = async (): Promise<void> => {
    if (isScreen)
      choose('paste', guest.vmid, own);
    setPart(0);
    await device.paste(text, { layout: own, stop: stop.current.signal, onPart: setPart });
  };
  return (
    <FormDialog title={t('console.pasteInto', { name: guest.name })} submit={t('console.type')} onClose={onClose} onSubmit={type}>
      {() => (
        <>
          <TextArea label={t('console.text')} value={text} onInput={setText} hasFocus help={t(isScreen ? 'console.textHelpScreen' : 'console.textHelp')} />
          <div class="row"><Button icon="paste" onClick={fetchText}>{t('console.clipboard')}</Button></div>
          {isScreen && <Select label={t('console.layoutOf')} value={own} options={layoutOptions()} onChange={setOwn} help={t('console.layoutOfHelp')} />}
          {lost.length > 0 && <p class="warn-text" role="status">{t('console.lostChars', { n: lost.length })} <code>{lost.slice(0, SHOWN).join(' ')}{lost.length > SHOWN ? ' …' : ''}</code></p>}
          {part !== null && isScreen && <Meter value={part} max={1} label={t('console.typing')} />}
        </>
      )}
    </FormDialog>
  );
}
