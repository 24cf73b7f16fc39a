'use strict';
// What mdBook's pages lack for a keyboard, for a screen reader, and on a phone.
(function () {
    // The bar above the page is a landmark.
    document.getElementById('mdbook-menu-bar')?.setAttribute('role', 'banner');

    // Its first button is a label, which Tab passes over: a button stands for it.
    const label = document.getElementById('mdbook-sidebar-toggle');
    const shown = document.getElementById('mdbook-sidebar-toggle-anchor');
    if (label && shown) {
        const button = document.createElement('button');
        button.type = 'button';
        for (const name of ['class', 'title', 'aria-label', 'aria-controls']) {
            button.setAttribute(name, label.getAttribute(name));
        }
        button.append(...label.childNodes);
        label.style.display = 'none';
        label.after(button);
        const tell = () => button.setAttribute('aria-expanded', shown.checked);
        shown.addEventListener('change', tell);
        button.addEventListener('click', () => label.click());
        tell();
    }

    // A short word of code is not broken at its hyphens: an option, a file's mode.
    for (const code of document.querySelectorAll('main :not(pre) > code')) {
        if (code.childElementCount > 0 || !code.textContent.includes('-')) { continue; }
        code.replaceChildren(...code.textContent.split(/( +)/).map(word => {
            if (!word.includes('-') || word.length > 30) { return word; }
            const whole = document.createElement('span');
            whole.className = 'word';
            whole.textContent = word;
            return whole;
        }));
    }

    // Code that is wider than its box scrolls by the arrow keys, once it can have the focus.
    const fits = new ResizeObserver(entries => {
        for (const {target} of entries) {
            if (target.scrollWidth > target.clientWidth) { target.tabIndex = 0; }
            else { target.removeAttribute('tabindex'); }
        }
    });
    for (const code of document.querySelectorAll('pre > code, .table-wrapper')) { fits.observe(code); }
})();
