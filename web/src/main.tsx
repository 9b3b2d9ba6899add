import { render } from 'preact';
import { t } from './core/i18n.ts';
import { isOnline } from './core/live.ts';
import { startPrefs } from './core/prefs.ts';
import { startRouter } from './core/router.ts';
import { phase, startSession } from './core/session.ts';
import { Sprite } from './parts/icon.tsx';
import { CommandPalette, startPalette } from './parts/palette.tsx';
import { Toasts } from './parts/toasts.tsx';
import { here } from './views/routes.tsx';
import { Shell } from './views/shell.tsx';
import { Mark, SignIn } from './views/signin.tsx';
import './styles/all.css';

function View() {
  const { Screen, params, isBare } = here();
  const view = <Screen params={params} />;
  return isBare ? view : <Shell>{view}</Shell>;
}

function App() {
  return (
    <>
      <Sprite />
      {phase.value === 'starting' && <div class="boot"><Mark />{!isOnline.value && <p role="status">{t('offline')}</p>}</div>}
      {phase.value === 'in' && <><View /><CommandPalette /></>}
      {phase.value === 'out' && <SignIn />}
      <Toasts />
    </>
  );
}

startPrefs();
startRouter();
startPalette();
void startSession();
const root = document.getElementById('app');
if (root)
  render(<App />, root);
