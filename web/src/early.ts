// Runs before the first paint, so that a page that was set to dark does not flash: the only script that blocks.
try {
  const theme: unknown = JSON.parse(localStorage.getItem('holm.theme') ?? '"auto"');
  if (theme === 'light' || theme === 'dark')
    document.documentElement.dataset['theme'] = theme;
} catch {
  // no storage: the browser's own choice
}
