'use strict';
// The search of the book: by parts of words, in the index that find.awk has written.
(function () {
    const LIMIT = 30;
    const bar = document.querySelector('#mdbook-menu-bar .left-buttons');
    if (!bar || !window.HTMLDialogElement) { return; }

    function element(name, attributes, ...inside) {
        const made = document.createElement(name);
        for (const [key, value] of Object.entries(attributes)) { made.setAttribute(key, value); }
        made.append(...inside);
        return made;
    }

    const icon = element('span', {'aria-hidden': 'true'}, '⌕');
    const button = element('button', {
        id: 'find-open', class: 'icon-button', type: 'button', title: 'Search (s or /)',
        'aria-label': 'Search', 'aria-haspopup': 'dialog', 'aria-keyshortcuts': 's /',
    }, icon);
    const input = element('input', {
        type: 'search', placeholder: 'Search this book …', 'aria-label': 'Search this book',
        autocomplete: 'off', spellcheck: 'false',
    });
    const status = element('p', {role: 'status'});
    const results = element('ol', {});
    const dialog = element('dialog', {id: 'find', 'aria-label': 'Search'}, input, status, results);
    bar.append(button);
    document.body.append(dialog);

    function open() {
        if (dialog.open) { return; }
        dialog.showModal();
        input.select();
        if (window.findIndex || document.getElementById('find-index')) { return; }
        const script = element('script', {id: 'find-index', src: path_to_root + 'find-index.js'});
        script.onload = show;
        script.onerror = () => { status.textContent = 'This book was built without its index.'; };
        document.head.append(script);
    }

    // How often a word stands in a text.
    function count(text, word) { return text.split(word).length - 1; }

    // A definition before a page that is about it, that before a section which names it.
    function search(query) {
        const words = query.split(/\s+/);
        const found = [];
        for (const [kind, url, page, title, body] of window.findIndex) {
            const [name, text] = [title.toLowerCase(), body.toLowerCase()];
            if (!words.every(word => name.includes(word) || text.includes(word))) { continue; }
            let score = 10 * count(text, query) / (1 + text.length / 1000);
            for (const word of words) { score += name.includes(word) ? 10 : 0; }
            if (name.includes(query)) { score += kind === 'page' ? 100 : 50; }
            if (kind === 'term' && name.includes(query)) { score += 200 - name.length; }
            if (name === query) { score += 500; }
            found.push({score, kind, url, page, title, body});
        }
        return found.sort((a, b) => b.score - a.score);
    }

    // The words around the first place, with each place marked.
    function excerpt(body, words) {
        const text = body.toLowerCase();
        const first = Math.min(...words.map(word => text.indexOf(word)).filter(at => at >= 0));
        let from = first < 80 || first === Infinity ? 0 : body.indexOf(' ', first - 60) + 1;
        const to = body.length - from < 220 ? body.length : body.lastIndexOf(' ', from + 220);
        const parts = element('p', {}, from > 0 ? '… ' : '');
        while (from < to) {
            const places = words.map(word => [text.indexOf(word, from), word.length])
                .filter(([at]) => at >= 0 && at < to)
                .sort((a, b) => a[0] - b[0] || b[1] - a[1]);
            if (places.length === 0) { break; }
            const [at, length] = places[0];
            parts.append(body.slice(from, at), element('mark', {}, body.slice(at, at + length)));
            from = at + length;
        }
        parts.append(body.slice(from, Math.max(from, to)), to < body.length ? ' …' : '');
        return parts;
    }

    function show() {
        const query = input.value.trim().toLowerCase();
        results.replaceChildren();
        if (query === '' || !window.findIndex) { status.textContent = ''; return; }
        const found = search(query);
        const more = found.length > LIMIT ? `, the first ${LIMIT} of them here` : '';
        status.textContent = `${found.length} ${found.length === 1 ? 'place' : 'places'}${more}`;
        for (const {url, page, title, body} of found.slice(0, LIMIT)) {
            const name = title === page || title === '' ? page : `${page} » ${title}`;
            const link = element('a', {href: path_to_root + url}, name);
            results.append(element('li', {}, link, excerpt(body, query.split(/\s+/))));
        }
    }

    // The arrows go through the box and the results; Tab does, too, and Escape closes.
    function keys(event) {
        // Closed just now: the focus is not back yet, and the key is the page's.
        if (!dialog.open) { return; }
        // mdBook's keys turn pages.
        event.stopPropagation();
        const stops = [input, ...results.querySelectorAll('a')];
        const at = stops.indexOf(document.activeElement);
        const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
        if (step) {
            event.preventDefault();
            stops[Math.min(Math.max(at + step, 0), stops.length - 1)].focus();
        } else if (event.key === 'Enter' && at === 0 && stops.length > 1) {
            event.preventDefault();
            stops[1].click();
        }
    }

    button.addEventListener('click', open);
    input.addEventListener('input', show);
    dialog.addEventListener('keydown', keys);
    // A link to a section of this page leads out of the dialog; so does a click beside it.
    dialog.addEventListener('click', event => {
        if (event.target === dialog || event.target.closest('a')) { dialog.close(); }
    });
    document.addEventListener('keydown', event => {
        const typing = event.target.closest?.('input, textarea, select, [contenteditable]')
            && !dialog.contains(event.target);
        if (typing || event.altKey || event.ctrlKey || event.metaKey) { return; }
        if (event.key === 's' || event.key === '/') {
            event.preventDefault();
            open();
        }
    });
})();
