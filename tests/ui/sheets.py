"""The page has two style sheets: one for the first screens, and one that comes with the first of the others. What a screen
looks like must not depend on what was opened before."""

# Rules of the second sheet that would change what is shown, whatever the window's width, and in any state of an element.
LATE = r"""(async () => {
    const calm = (text) => text.replace(/:(hover|focus-visible|focus-within|focus|disabled|checked|active|fullscreen)\b/g, '')
        .replace(/:has\(\)/g, '').replace(/::[a-z-]+(\([^)]*\))?/g, '') || '*';
    const found = [];
    const walk = (rules, around) => {
        for (const rule of rules) {
            let selector = around;
            if (rule.selectorText) {
                const own = rule.selectorText;
                selector = !around ? own : own.includes('&') ? own.replaceAll('&', `:is(${around})`) : `:is(${around}) :is(${own})`;
                if (rule.style.length && document.querySelector(calm(selector)))
                    found.push(`${selector} {${rule.style.cssText}}`);
            }
            if (rule.cssRules)
                walk(rule.cssRules, selector);
        }
    };
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(await (await fetch(document.querySelector('meta[name=screens]').content)).text());
    walk(sheet.cssRules, '');
    return found;
})()"""


def check_sheets(page):
    """That the second sheet leaves this screen as it is."""
    late = page.evaluate(LATE)
    assert not late, late
