'use strict';
// What mdBook's pages lack for a keyboard and for a screen reader.
(function () {
    // The bar above the page is a landmark; its first button is a label, which the keyboard skips.
    document.getElementById('mdbook-menu-bar')?.setAttribute('role', 'banner');
    const toggle = document.getElementById('mdbook-sidebar-toggle');
    if (toggle) {
        toggle.setAttribute('role', 'button');
        toggle.tabIndex = 0;
        toggle.addEventListener('keydown', event => {
            if (event.key === 'Enter' || event.key === ' ') {
                event.preventDefault();
                toggle.click();
            }
        });
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
