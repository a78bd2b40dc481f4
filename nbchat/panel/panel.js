// The page's half of nbchat's panel.
//
// The kernel sends numbered frames. `Conversation` folds them into turns, once for all views of a widget; a `View`
// paints them, and asks the kernel for what the reader wants. Only blocks and tails are HTML, made by the kernel's
// renderer; all else (prompts, names, errors) goes in as text.

// In ms: without an answer for so long, what was asked waits for the running cell
const PATIENCE = 400;
// In ms: of a live reply something is heard every 2 s
const SILENCE = 6000;
// In ms of painting at a time: a long history must not freeze the notebook
const SLICE = 8;
// In px from the end: that still counts as being there
const NEAR = 40;
// In characters of a reply: so many are read out at once
const SPOKEN = 4000;
// In ms from a key: what changes so soon, it has changed
const AT_ONCE = 100;

const WAITS = "Waiting for the running cell";
const LOST = "Not connected: run the cell that shows this panel again";
const UNSENT = "Not sent";
const GUIDE = "guide answers until you name a model: an offline search in nbchat's manual, not a language model.";
const EXAMPLES = ["How do I choose a model?", "How do I put the value of a variable into a prompt?"];
const STATES = { queued: "Queued", streaming: "Replying…", stopped: "Stopped", failed: "Failed" };
const TOGGLES = { current: "hide", hidden: "unhide" };
const STANDINGS = { hidden: "hidden", deleted: "its cell was deleted" };

const STAY = { preventScroll: true };
const isLive = (turn) => turn.status === "queued" || turn.status === "streaming";
const isText = (ask) => ask.op === "send" || ask.op === "edit";
const unique = () => Math.random().toString(36);

// Small DOM tools

function h(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
	node.append(...children);
	return node;
}

const div = (name, ...children) => h("div", { class: `nbchat-${name}` }, ...children);

// `told` is its name for those who do not see what it stands beside.
const button = (act, label, told = label) => h("button", { type: "button", "data-do": act, "aria-label": told }, label);

function write(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

async function copy(text, place) {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		return copyBySelection(text, place); // no clipboard without https, nor in some frames
	}
}

function copyBySelection(text, place) {
	const had = place.getRootNode().activeElement;
	const area = h("textarea", { class: "nbchat-unseen" });
	area.value = text;
	place.append(area);
	area.select();
	const done = document.execCommand("copy");
	area.remove();
	had?.focus(STAY);
	return done;
}

// The conversation, folded from what the kernel says

// anywidget hides whether the comm lives, and the widget's id; but who hears of a change is given the whole model.
function behind(model) {
	let found = {};
	const look = (whole) => (found = whole ?? {});
	const seq = model.get("_seq");
	model.on("change:_seq", look);
	model.set("_seq", seq - 1);
	model.set("_seq", seq);
	model.off("change:_seq", look);
	return found;
}

class Conversation {
	constructor(model) {
		this.model = model;
		this.whole = behind(model);
		this.turns = model.get("_turns");
		this.head = model.get("_head");
		this.seq = model.get("_seq");
		this.live = this.liveIds();
		this.views = new Set();
		// The view whose status region speaks: from two one would hear all twice
		this.speaker = undefined;
		this.asks = []; // what was asked and not carried out yet
		this.sent = []; // what was typed here, for Up
		this.draft = ""; // for the composer of the next view
		this.place = ""; // where the texts are kept
		// How often a turn has grown since it came, for who painted it
		this.growth = new WeakMap();
		this.gap = this.seq < 0; // a state without turns
		this.silent = this.closed = false;
		this.heard = Date.now();
		this.listen();
		this.rescue(this.kept());
		this.heal(0);
		this.watch();
	}

	listen() {
		const off = new AbortController();
		const events = {
			"msg:custom": (message) => this.take(message),
			"comm:close": () => this.close(),
			comm_live_update: () => this.lost(),
			"change:models": () => this.repaint(),
			"change:_seq": () => this.reread(), // after a lost connection has come back
			"change:height": () => this.views.forEach((view) => view.resize()),
		};
		for (const [name, react] of Object.entries(events)) this.model.on(name, react);
		window.addEventListener("focus", () => this.heal(2500), off);
		document.addEventListener("visibilitychange", () => this.heal(2500), off);
		this.forget = () => {
			for (const [name, react] of Object.entries(events)) this.model.off(name, react);
			off.abort();
			clearTimeout(this.alarm);
			this.asks.forEach((ask) => clearTimeout(ask.timer));
		};
	}

	get dead() {
		return this.closed || this.whole.comm_live === false;
	}

	get connected() {
		return !this.dead && !this.silent;
	}

	get trouble() {
		return `${LOST}${this.dead ? "" : ", or load the page anew"}.`;
	}

	get busy() {
		const asked = this.asks.some((ask) => (isText(ask) || ask.op === "retry") && !ask.error);
		return this.connected && (asked || this.live.size > 0);
	}

	liveIds() {
		return new Set(this.turns.filter(isLive).map((turn) => turn.id));
	}

	take(message) {
		const takers = { frames: this.fold, snapshot: this.adopt, ack: this.acked, done: this.done };
		this.heard = Date.now();
		this.silent = false;
		takers[message?.op]?.call(this, message);
		this.watch();
		this.repaint();
	}

	fold({ seq, changes, head }) {
		if (seq <= this.seq) return;
		if (this.gap || seq > this.seq + 1) {
			if (this.gap && Date.now() - this.synced < SILENCE) return;
			this.gap = true;
			this.synced = Date.now();
			this.tell({ op: "sync" });
			return;
		}
		changes.forEach((change) => this.change(change));
		this.settle(seq, head);
	}

	change({ id, at, turn, gone, add, set }) {
		const old = this.turns.findIndex((known) => known.id === id);
		if (old >= 0 && (turn || gone)) this.turns.splice(old, 1);
		else if (turn) this.arrived(turn);
		else if (old >= 0) this.extend(this.turns[old], add, set);
		if (turn) this.turns.splice(at, 0, turn);
	}

	extend(turn, add = {}, set = {}) {
		for (const html of add.blocks ?? []) turn.blocks.push(html);
		turn.reasoning += add.reasoning ?? "";
		Object.assign(turn, set);
		this.growth.set(turn, (this.growth.get(turn) ?? 0) + 1);
	}

	arrived(turn) {
		const ask = this.asks.find((one) => one.op === "send" && !one.there && one.text === turn.prompt);
		if (ask?.error) this.drop(ask);
		else if (ask) ask.there = true; // its bubble gives way, even before the kernel says that it is done
	}

	adopt({ seq, turns, head }) {
		// For another browser tab, and older than what is known here
		if (seq < this.seq) return;
		this.gap = false;
		const known = new Set(this.turns.map((turn) => turn.id));
		for (const turn of turns) if (!known.has(turn.id)) this.arrived(turn);
		this.turns.splice(0, Infinity, ...turns);
		this.settle(seq, head);
	}

	reread() {
		const [seq, turns, head] = ["_seq", "_turns", "_head"].map((name) => this.model.get(name));
		if (seq <= this.seq) return;
		this.adopt({ seq, turns, head });
		this.repaint();
	}

	settle(seq, head) {
		this.seq = seq;
		Object.assign(this.head, head);
		// For the notebook's file, which may keep widget states; not for the kernel.
		this.model.set("_turns", this.turns);
		this.model.set("_head", this.head);
		this.model.set("_seq", seq);
		this.announce();
	}

	announce() {
		const before = this.live;
		this.live = this.liveIds();
		const ended = this.turns.findLast((turn) => before.has(turn.id) && !isLive(turn));
		if (ended) this.say(spoken(ended));
		else if ([...this.live].some((id) => !before.has(id))) this.say("Replying");
	}

	say(text) {
		const view = this.views.has(this.speaker) ? this.speaker : [...this.views].at(-1);
		if (view) view.status.textContent = text;
	}

	ask(view, op, fields = {}) {
		const ask = { view, op, nonce: unique(), ...fields };
		ask.timer = setTimeout(() => this.isLate(ask), PATIENCE);
		this.asks.push(ask);
		if (ask.text) this.sent.push(ask.text);
		this.tell({ op, nonce: ask.nonce, ...fields });
		this.repaint();
	}

	asked(nonce) {
		return this.asks.find((ask) => ask.nonce === nonce);
	}

	isLate(ask) {
		ask.late = !ask.acked;
		if (ask.late) this.say(this.dead ? this.trouble : WAITS);
		this.repaint();
	}

	acked({ nonce, error }) {
		const ask = this.asked(nonce);
		if (ask) Object.assign(ask, { acked: true, late: false });
		if (error) this.done({ nonce, error });
	}

	done({ nonce, error, prompt }) {
		const ask = this.asked(nonce);
		if (!ask) return;
		this.drop(ask);
		ask.view.settled(ask, error, prompt);
	}

	drop(ask) {
		clearTimeout(ask.timer);
		this.asks = this.asks.filter((one) => one !== ask);
		this.keep();
		this.repaint();
	}

	withdraw(view, ask) {
		this.drop(ask);
		this.ask(view, "withdraw", { of: ask.nonce });
	}

	refuse(ask, error) {
		this.asks.push(Object.assign(ask, { error, there: false }));
		this.keep();
		this.repaint();
	}

	// Texts have lost their boxes: the first is for the composer of the next view, unless there are views; the others can
	// be put back.
	rescue([draft = "", ...others]) {
		if (this.views.size) others.push(draft);
		else this.draft = draft;
		const lost = new Set(others.filter((text) => text && text !== this.draft));
		lost.forEach((text) => this.refuse({ op: "send", nonce: unique(), text }, UNSENT));
		this.keep();
	}

	// What is typed and in no turn yet outlives the page. The notebook's path outlives its kernel, and so the widget, of
	// which a view may still be there: hence a place of its own for each.
	get shelf() {
		const path = this.head.mine && this.model.widget_manager?.context?.path;
		return `nbchat-draft-${path || this.whole.model_id}\n`;
	}

	// How many prompts say this: one more, and it was sent since, perhaps by another panel
	times(text) {
		return this.turns.filter((turn) => turn.prompt === text).length;
	}

	keep() {
		const boxes = this.views.size ? [...this.views].flatMap((view) => view.texts()) : [this.draft];
		const texts = [...boxes, ...this.asks.filter((ask) => isText(ask) && !ask.there).map((ask) => ask.text)];
		try {
			// First, since the notebook may have another name by now, or there may be no room for so much.
			sessionStorage.removeItem(this.place);
			this.place = this.shelf + this.whole.model_id;
			const kept = texts.map((text) => [text, this.times(text)]);
			if (texts.some(Boolean)) sessionStorage.setItem(this.place, JSON.stringify(kept));
		} catch {
			// some hosts deny a page its storage
		}
	}

	kept() {
		try {
			const places = Object.keys(sessionStorage).filter((place) => place.startsWith(this.shelf));
			const kept = places.flatMap((place) => JSON.parse(sessionStorage.getItem(place)));
			places.forEach((place) => sessionStorage.removeItem(place));
			return kept.map(([text, times]) => (this.times(text) > times ? "" : text));
		} catch {
			return [];
		}
	}

	// Silence while a reply is live: frames were lost. In Colab that may be so of other cells.
	heal(quiet) {
		const may = !this.dead && (this.gap || this.live.size > 0 || globalThis.google?.colab);
		if (may && Date.now() - this.heard >= quiet && !document.hidden) this.tell({ op: "sync" });
	}

	watch() {
		clearTimeout(this.alarm);
		if (this.live.size > 0) this.alarm = setTimeout(() => this.isSilent(), SILENCE);
	}

	isSilent() {
		this.silent = true;
		this.heal(0);
		this.lost();
	}

	close() {
		this.closed = true;
		this.lost();
	}

	lost() {
		if (!this.connected) this.say(this.trouble);
		this.repaint();
	}

	tell(message) {
		try {
			this.model.send(message);
		} catch {
			this.close(); // its kernel was shut down
		}
	}

	repaint() {
		this.views.forEach((view) => view.schedule());
	}
}

function spoken({ status, error, text }) {
	if (status !== "done") return (status === "failed" && error) || STATES[status];
	return text?.length > SPOKEN ? `${text.slice(0, SPOKEN)}…` : (text ?? "");
}

// One turn on the page

class DrawnTurn {
	constructor(view, id) {
		this.view = view;
		view.drawn.set(id, this);
		this.blocks = []; // the HTML of those that are on the page
		this.tailed = ""; // and of the tail
		this.number = h("h2", { class: "nbchat-unseen" });
		this.prompt = promptOf("");
		this.thoughts = h("div");
		this.reasoning = h("details", { class: "nbchat-reasoning" }, h("summary", {}, "Reasoning"), this.thoughts);
		this.body = div("blocks");
		this.tail = div("tail");
		this.error = h("p", { class: "nbchat-error", dir: "auto" });
		this.line = h("summary", { class: "nbchat-line" });
		this.hint = h("div");
		this.el = h("article", { class: "nbchat-turn", "data-turn": id, tabindex: -1 }, this.number, this.prompt);
		this.el.append(this.reasoning, this.body, this.tail, this.error, this.buildFoot());
	}

	buildFoot() {
		this.acts = [
			button("cancel", "Cancel", "Cancel this prompt"),
			button("copy", "Copy", "Copy reply"),
			button("retry", "Retry"),
			button("edit", "Edit", "Edit prompt"),
			button("hide", "Hide"),
			button("unhide", "Show"),
			button("delete", "Delete"),
		];
		this.more = button("more", "⋯", "Actions");
		this.more.ariaExpanded = "false";
		return div("foot", h("details", {}, this.line, this.hint), this.more, div("acts", ...this.acts));
	}

	// False if the time was up before all was there.
	draw(turn, look, until) {
		if (this.turn !== turn || this.look !== look) this.describe(turn);
		this.look = look;
		return this.fill(turn, until);
	}

	describe(turn) {
		const { connected } = this.view.convo;
		this.turn = turn;
		const status = connected || !isLive(turn) ? turn.status : "lost";
		Object.assign(this.el.dataset, { status, standing: turn.standing });
		write(this.number, `Turn ${turn.number}`);
		write(this.prompt, turn.prompt);
		this.think(turn.reasoning);
		write(this.error, turn.error);
		this.error.hidden = !turn.error;
		write(this.line, lineOf(turn, connected));
		write(this.hint, hintOf(turn));
		this.offer(turn, connected);
	}

	think(text) {
		const known = this.thoughts.textContent;
		if (text.startsWith(known)) this.thoughts.append(text.slice(known.length));
		else this.thoughts.textContent = text;
		this.reasoning.hidden = !text;
	}

	offer(turn, connected) {
		const offered = isLive(turn) ? [] : ["retry", "edit", "delete", turn.text && "copy", TOGGLES[turn.standing]];
		if (turn.status === "queued" && connected) offered.push("cancel");
		for (const act of this.acts) act.hidden = !offered.includes(act.dataset.do);
		this.more.hidden = !offered.length;
	}

	fill({ blocks, tail }, until) {
		if (!this.blocks.every((html, place) => html === blocks[place])) this.clear();
		while (this.blocks.length < blocks.length) {
			if (performance.now() > until) return false;
			this.seal(blocks[this.blocks.length]);
		}
		if (tail !== this.tailed) this.tail.innerHTML = this.tailed = tail;
		return true;
	}

	clear() {
		this.blocks = [];
		this.first = undefined;
		this.body.replaceChildren();
	}

	// What is sealed is never touched again: a selection in it stays, and formulas are set once.
	seal(html) {
		const block = h("div");
		block.innerHTML = html;
		this.blocks.push(html);
		for (const heading of block.querySelectorAll("h3, h4, h5, h6")) this.rank(heading, Number(heading.tagName[1]));
		this.view.dress(block);
		this.body.append(block);
	}

	// A reply may begin with any level of heading; for who hears it, that is the one below the turn's.
	rank(heading, level) {
		heading.ariaLevel = Math.max(3, 3 + level - (this.first ??= level));
	}

	edit() {
		if (!this.form) {
			this.editor = h("textarea", { "aria-label": "Edit prompt", dir: "auto", rows: 1 });
			this.editor.value = this.turn.prompt;
			this.form = div("edit", this.editor, button("save", "Send edit"), button("leave", "Cancel", "Cancel editing"));
			this.prompt.after(this.form);
			this.prompt.hidden = true;
			grow(this.editor);
		}
		this.editor.focus();
	}

	endEdit() {
		this.view.convo.sent.push(this.editor.value); // Up brings it back
		this.form.remove();
		this.form = undefined;
		this.prompt.hidden = false;
		this.view.convo.keep();
		this.el.focus(STAY);
	}
}

function promptOf(text) {
	return h("div", { class: "nbchat-prompt", dir: "auto" }, text);
}

function lineOf(turn, connected) {
	const live = isLive(turn);
	const state = STATES[turn.status] ?? (turn.cut && "Cut off");
	const parts = [live && !connected ? "Not heard of any more" : state, live && connected && turn.notice];
	parts.push(turn.model || turn.provider);
	if (!live && turn.seconds > 0) parts.push(`${turn.seconds.toFixed(turn.seconds < 10 ? 1 : 0)} s`);
	if (turn.tokens) parts.push(`${turn.tokens.toLocaleString()} token${turn.tokens > 1 ? "s" : ""}`);
	parts.push(clock(new Date(turn.time)), turn.cell !== null && `[${turn.cell}]`, turn.stale && "stale");
	parts.push(STANDINGS[turn.standing], turn.versions > 1 && `${turn.versions} versions`, ...turn.notes);
	return parts.filter(Boolean).join(" · ");
}

function hintOf({ provider, time, prompt_tokens: sent, stale }) {
	const why = stale && "stale: earlier messages have changed since it was sent";
	const hints = [provider, new Date(time).toLocaleString(), sent && `${sent.toLocaleString()} tokens sent`, why];
	return hints.filter(Boolean).join(" · ");
}

function clock(date) {
	const hour = { hour: "2-digit", minute: "2-digit" };
	const isToday = date.toDateString() === new Date().toDateString();
	return date.toLocaleString([], isToday ? hour : { ...hour, month: "short", day: "numeric" });
}

// A prompt that is not a turn yet
function bubble(ask, dead) {
	const line = div("line", ask.error || (dead ? UNSENT : ask.late ? WAITS : "Sending…"));
	const foot = div("foot", line);
	if (ask.error || dead || ask.late) foot.append(button("put-back", ask.error || dead ? "Put back" : "Withdraw"));
	foot.dataset.nonce = ask.nonce;
	return div("turn", promptOf(ask.text), foot);
}

// Code in replies: if long, in pieces, whose margins and paddings say which goes on

function piecesOf(tool) {
	const all = [...tool.closest(".nbchat-blocks").querySelectorAll(".highlight")];
	const first = all.indexOf(tool.closest(".highlight"));
	const last = all.findIndex((piece, place) => place >= first && piece.style.marginBottom !== "0px");
	return all.slice(first, last < 0 ? all.length : last + 1);
}

function codeOf(tool) {
	const code = piecesOf(tool).map((piece) => piece.querySelector("code").textContent);
	return code.join("").replace(/\n$/, "");
}

function codeTools() {
	const wrap = button("wrap", "Wrap", "Wrap long lines");
	wrap.ariaPressed = "false";
	return div("tools", wrap, button("copy-code", "Copy", "Copy code"));
}

// What the buttons do; the others ask the kernel for what they are called

const ACTS = {
	send: (view) => view.send(),
	stop: (view) => view.stop(),
	latest: (view) => (view.goToEnd(), view.log.focus(STAY)),
	example: (view, tool) => view.fill(tool.textContent),
	"put-back": (view, tool) => view.putBack(view.convo.asked(tool.parentNode.dataset.nonce)),
	"copy-code": (view, tool) => view.copy(tool, codeOf(tool)),
	wrap: (view, tool) => view.wrap(tool),
	more: (view, tool) => (tool.ariaExpanded = tool.ariaExpanded !== "true"),
	copy: (view, tool, { turn }) => view.copy(tool, turn.text),
	edit: (view, tool, drawn) => drawn.edit(),
	save: (view, tool, drawn) => view.saveEdit(drawn),
	leave: (view, tool, drawn) => drawn.endEdit(),
	cancel: (view, tool, drawn) => view.askOf(drawn, "stop"),
	retry: (view, tool, drawn) => view.askOf(drawn, "retry", { model: view.picked }),
};

// Keys

// The other combinations with Ctrl are the notebook's: Ctrl+S saves it from in here, too.
const OURS_WITH_CTRL = /^(enter|[zyacvx]|arrow.*|backspace|delete)$/i;
const isOurs = (event) => !(event.ctrlKey || event.metaKey) || OURS_WITH_CTRL.test(event.key);

// Enter takes the word that an input method composes; Safari tells only by the code.
const composes = (event) => event.isComposing || event.keyCode === 229;

function asksToSend(event, mode) {
	if (event.key !== "Enter" || event.shiftKey || event.altKey) return false;
	return mode !== "ctrl-enter" || event.ctrlKey || event.metaKey;
}

// For browsers that do not size a box by its content
function grow(area) {
	if (CSS.supports("field-sizing: content")) return;
	area.style.height = "auto";
	if (area.scrollHeight) area.style.height = `${area.scrollHeight + 2}px`;
}

class View {
	constructor(convo, el) {
		this.convo = convo;
		this.drawn = new Map(); // by turn
		this.following = true;
		// The conversation that keys have gone to, and Enter would switch to
		this.chosen = "";
		// The model that the reader named, until it is the one that the conversation asks
		this.picked = "";
		this.word = "";
		this.formulas = [];
		this.build();
		this.resize();
		el.append(this.root);
		this.listen();
		convo.views.add(this);
		this.composer.value = convo.draft;
		convo.draft = "";
		this.schedule();
	}

	build() {
		this.names = h("select", { "aria-label": "Switch conversation" });
		this.fresh = button("new", "New", "New conversation");
		this.undo = button("undo", "Undo");
		this.banner = h("p", { class: "nbchat-banner" });
		this.status = h("div", { class: "nbchat-unseen", role: "status" });
		// The composer comes first for who goes by Tab; the style sheet sets it last.
		// Who clicks beside all controls is in here, too: no key is the notebook's. The menu is the browser's (Copy, Paste).
		const own = { tabindex: -1, "data-jp-suppress-context-menu": "" };
		this.root = h("section", { class: "nbchat-panel", "aria-label": "nbchat", ...own });
		this.root.append(div("bar", this.names, this.fresh, this.undo), this.buildComposer(), this.buildLog(), this.status);
	}

	buildComposer() {
		const list = unique();
		const placeholder = "Ask a question";
		this.composer = h("textarea", { "aria-label": "Message", placeholder, rows: 1, dir: "auto", enterkeyhint: "send" });
		this.models = h("datalist", { id: list });
		this.picker = h("input", { "aria-label": "Model", list, autocomplete: "off", spellcheck: false });
		this.stopper = button("stop", "Stop");
		this.wordText = h("span", { dir: "auto" });
		this.wordUndo = button("undo", "Undo", "Undo the deletion");
		this.wordBar = div("word", this.wordText, this.wordUndo);
		const row = div("row", this.picker, this.models, this.stopper, button("send", "Send"));
		return div("composer", this.banner, this.wordBar, this.composer, row);
	}

	buildLog() {
		const log = { class: "nbchat-log", role: "log", "aria-label": "Conversation", "aria-live": "off", tabindex: 0 };
		this.earlier = button("earlier", "", "");
		this.guide = h("p");
		this.empty = div("empty", this.guide, ...EXAMPLES.map((prompt) => button("example", prompt)));
		this.waiting = div("waiting");
		this.content = div("content", this.earlier, this.empty, this.waiting);
		this.log = h("div", log, this.content);
		this.latest = button("latest", "Latest ↓", "Latest");
		this.latest.hidden = true;
		return div("middle", this.log, this.latest);
	}

	listen() {
		const { root, names, picker, log } = this;
		this.off = new AbortController();
		// Only from the window are keys to be had before the notebook takes them (Shift+Enter, d d).
		window.addEventListener("keydown", (event) => this.onKey(event), { capture: true, signal: this.off.signal });
		root.addEventListener("click", (event) => this.onClick(event));
		root.addEventListener("input", (event) => this.onInput(event));
		root.addEventListener("focusin", () => (this.convo.speaker = this));
		names.addEventListener("change", () => this.choose());
		names.addEventListener("blur", () => this.focused !== names && this.switchTo());
		picker.addEventListener("focus", () => this.offerModels());
		picker.addEventListener("blur", () => this.schedule());
		picker.addEventListener("keypress", (event) => this.onPicked(event));
		log.addEventListener("scroll", () => this.onScroll());
		this.sizes = new ResizeObserver(() => this.settleScroll());
		this.sizes.observe(log);
		this.sizes.observe(this.content);
		this.widths = new ResizeObserver((entries) => entries.forEach(({ target }) => this.markWide(target)));
	}

	close() {
		this.off.abort();
		this.sizes.disconnect();
		this.widths.disconnect();
		cancelAnimationFrame(this.frame);
		clearTimeout(this.setting);
		this.convo.views.delete(this);
		this.convo.rescue(this.texts());
		this.root.remove();
	}

	texts() {
		const forms = [...this.drawn.values()].filter(({ form, editor, turn }) => form && editor.value !== turn.prompt);
		return [this.composer, ...forms.map((drawn) => drawn.editor)].map((box) => box.value);
	}

	resize() {
		this.root.style.height = `${this.convo.model.get("height")}px`;
		// A frame there is as high as what is in it, up to 1000 px: a part of its height would be a part of ours.
		if (globalThis.google?.colab) this.root.style.maxHeight = "900px";
	}

	get focused() {
		const active = this.root.getRootNode().activeElement;
		return this.root.contains(active) ? active : null;
	}

	// Painting: whatever happens, once a frame

	schedule() {
		this.frame ||= requestAnimationFrame(() => this.paint());
	}

	paint() {
		const until = performance.now() + SLICE;
		const had = this.focused;
		this.frame = 0;
		this.paintControls();
		this.paintHead(this.convo.head);
		this.paintWaiting();
		if (!this.paintTurns(until)) this.schedule();
		// Focus must not fall to the page: the next key would be the notebook's.
		if (had && (!had.isConnected || had.closest("[hidden]"))) this.composer.focus(STAY);
		this.setFormulas();
	}

	paintControls() {
		const { asks, busy, connected, dead, trouble, turns } = this.convo;
		const late = asks.filter((ask) => ask.late && !isText(ask)).map((ask) => ask.op);
		const word = late.length && !dead ? `${WAITS} (${late.join(", ")})` : this.word;
		this.stopper.hidden = !busy;
		this.log.ariaBusy = busy;
		this.banner.hidden = connected;
		write(this.banner, trouble);
		this.empty.hidden = turns.length > 0 || asks.length > 0;
		this.wordBar.hidden = !word;
		this.wordUndo.hidden = word !== "Deleted." || this.deletion !== this.convo.head.undo;
		write(this.wordText, word);
	}

	paintHead({ conversation, conversations, model, undo, earlier, mine }) {
		const listed = conversations.join("\n");
		if (listed !== this.listed) this.names.replaceChildren(...conversations.map((name) => new Option(name)));
		this.listed = listed;
		const name = this.chosen || conversation;
		if (this.names.value !== name) this.names.value = name;
		this.names.hidden = this.fresh.hidden = !mine;
		this.undo.hidden = !undo;
		this.undo.title = undo;
		this.undo.ariaLabel = `Undo: ${undo}`;
		this.earlier.hidden = !earlier;
		write(this.earlier, (this.earlier.ariaLabel = `${earlier} earlier turn${earlier > 1 ? "s" : ""}`));
		write(this.guide, model && model !== "guide" ? `${model} answers here.` : GUIDE);
		this.paintPicker(model);
	}

	paintPicker(model) {
		const models = this.convo.model.get("models");
		if (models !== this.offered) this.models.replaceChildren(...models.map((name) => new Option("", name)));
		this.offered = models;
		if (this.focused !== this.picker) this.picker.value = this.picked || model;
	}

	paintWaiting() {
		const { asks, dead } = this.convo;
		const shown = asks.filter((ask) => isText(ask) && !ask.there && (ask.op === "send" || ask.late || ask.error));
		const look = JSON.stringify([dead, shown.map((ask) => [ask.nonce, ask.late, ask.error])]);
		if (look !== this.waits) this.waiting.replaceChildren(...shown.map((ask) => bubble(ask, dead)));
		this.waits = look;
	}

	// Newest first, where the reader is. False if there is more to paint.
	paintTurns(until) {
		const { turns, growth, connected } = this.convo;
		this.dropGone(turns);
		let below = this.waiting;
		for (const turn of turns.toReversed()) {
			const drawn = this.drawn.get(turn.id) ?? new DrawnTurn(this, turn.id);
			if (drawn.el.nextElementSibling !== below) this.content.insertBefore(drawn.el, below);
			if (!drawn.draw(turn, `${growth.get(turn)} ${connected}`, until)) return false;
			below = drawn.el;
		}
		return true;
	}

	dropGone(turns) {
		const ids = new Set(turns.map((turn) => turn.id));
		for (const [id, { el, form, editor, turn }] of this.drawn) {
			if (ids.has(id)) continue;
			el.remove();
			this.drawn.delete(id);
			if (form && editor.value !== turn.prompt) this.convo.rescue(["", editor.value]);
		}
	}

	dress(block) {
		for (const code of block.querySelectorAll(".highlight")) if (code.style.paddingTop !== "0px") code.append(codeTools());
		for (const box of block.querySelectorAll("pre, div[style*=overflow-x]")) this.widths.observe(box);
		if (block.querySelector(".mathjax_process")) this.formulas.push(block);
	}

	// What scrolls sideways must be reached by Tab; the rest need not.
	markWide(box) {
		const isWide = box.scrollWidth > box.clientWidth;
		if (isWide) box.tabIndex = 0;
		else box.removeAttribute("tabindex");
		box.closest(".highlight")?.toggleAttribute("data-wide", isWide);
	}

	// By the host's typesetter, a block at a time. Without one, the TeX can be read.
	setFormulas() {
		if (this.setting || !this.formulas.length) return;
		this.setting = setTimeout(() => {
			this.setting = 0;
			try {
				this.convo.model.widget_manager?._rendermime?.latexTypesetter?.typeset(this.formulas.pop());
			} catch {
				this.formulas = []; // a host that has it otherwise
			}
			this.setFormulas();
		});
	}

	// Scrolling: at the end while the reader is there; else what is read stays in sight

	onScroll() {
		const { scrollTop, scrollHeight, clientHeight } = this.log;
		const { top, height, room } = this.seen ?? {};
		// Up without a change of sizes: that was the reader. Else a box may have grown.
		if (scrollTop < top && scrollHeight === height && clientHeight === room) this.following = false;
		else if (scrollHeight - scrollTop - clientHeight <= NEAR) this.following = true;
		this.noteScroll();
	}

	noteScroll() {
		const { scrollTop: top, scrollHeight: height, clientHeight: room } = this.log;
		const turns = [...this.content.querySelectorAll("article")];
		const begins = turns.find((one) => one.offsetTop >= top && one.offsetTop < top + room);
		const el = begins ?? turns.findLast((one) => one.offsetTop < top); // the one above may yet be laid out, and grow
		this.seen = { top, height, room };
		this.anchor = el && { el, offset: el.offsetTop - top };
		this.latest.hidden = this.following || height - top - room <= NEAR;
	}

	settleScroll() {
		const { log, anchor } = this;
		if (!log.clientHeight) return; // in a tab that is not shown
		// No container query: WebKit lays out without a new tail before it has its style, and scrolls up.
		this.root.toggleAttribute("data-narrow", this.root.clientWidth < 480);
		if (!this.seen) grow(this.composer);
		if (this.following) log.scrollTop = log.scrollHeight;
		else if (anchor?.el.isConnected) log.scrollTop = anchor.el.offsetTop - anchor.offset;
		this.noteScroll();
	}

	goToEnd() {
		this.following = true;
		this.settleScroll();
	}

	// What the reader does

	onClick({ target }) {
		const tool = target.closest("[data-do]");
		if (!tool) return;
		const drawn = this.around(tool);
		const op = tool.dataset.do;
		if (ACTS[op]) ACTS[op](this, tool, drawn);
		else if (drawn) this.askOf(drawn, op);
		else this.ask(op);
	}

	around(node) {
		return this.drawn.get(node.closest("[data-turn]")?.dataset.turn);
	}

	onInput({ target, isComposing }) {
		if (target === this.picker) this.picked = target.value.trim();
		if (!target.matches("textarea")) return;
		this.convo.keep();
		if (!isComposing) grow(target);
	}

	onKey(event) {
		const target = event.composedPath()[0];
		if (!this.root.contains(target)) return;
		const act = composes(event) ? undefined : this.actOfKey(event, target);
		if (act) event.preventDefault();
		if (isOurs(event)) event.stopPropagation();
		act?.();
	}

	actOfKey(event, target) {
		if (event.key === "Escape") return () => this.escape(target);
		if (target === this.names) return this.noteKey(event.key);
		if (target === this.composer && /^Arrow(Up|Down)$/.test(event.key)) return this.recalling(event);
		if (!target.matches("textarea") || !asksToSend(event, this.convo.model.get("_sends"))) return undefined;
		return target === this.composer ? () => this.send() : () => this.saveEdit(this.around(target));
	}

	// Not at keydown: there WebKit takes the option that Enter chooses.
	onPicked(event) {
		if (event.key !== "Enter") return;
		event.preventDefault();
		this.composer.focus();
	}

	escape(target) {
		if (this.around(target)?.form) this.around(target).endEdit();
		else if (target === this.picker) this.leavePicker();
		else if (this.chosen) this.unchoose();
		else if (this.convo.busy) this.stop();
		else this.leave(target);
	}

	leavePicker() {
		this.picked = "";
		this.composer.focus();
	}

	leave(target) {
		target.blur();
		this.root.closest(".jp-Cell")?.focus();
	}

	// A full box would offer only the models that begin like the one in it.
	offerModels() {
		this.picker.placeholder = this.picker.value;
		this.picker.value = "";
	}

	// A key in a closed list chooses at once: that counts when Enter, or leaving the list, says so.
	noteKey(key) {
		this.keyed = key === "Enter" || key === " " ? 0 : performance.now();
		if (key === "Enter") this.switchTo();
	}

	choose() {
		const name = this.names.value;
		this.chosen = name === this.convo.head.conversation ? "" : name;
		const byKey = performance.now() - this.keyed < AT_ONCE;
		if (byKey) this.showWord(this.chosen && `Enter, or leaving the list, switches to “${name}”.`);
		else this.switchTo();
	}

	switchTo() {
		const name = this.chosen;
		if (!name) return;
		this.unchoose();
		this.ask("switch", { name });
	}

	unchoose() {
		this.chosen = "";
		this.showWord("");
	}

	// Earlier prompts, in a composer that holds nothing else
	recalling({ key, ctrlKey, metaKey, altKey, shiftKey }) {
		const { value, selectionStart, selectionEnd } = this.composer;
		const isUp = key === "ArrowUp";
		const onTheWay = isUp ? value.slice(0, selectionStart) : value.slice(selectionEnd);
		const isOther = value && value !== this.recalled;
		if (isOther || onTheWay.includes("\n") || ctrlKey || metaKey || altKey || shiftKey) return undefined;
		const prompts = [...this.convo.turns.map((turn) => turn.prompt), ...this.convo.sent].reverse();
		const different = ["", ...new Set(prompts)];
		const found = different[different.indexOf(value) + (isUp ? 1 : -1)];
		return found === undefined ? undefined : () => this.fill((this.recalled = found));
	}

	// False if nobody is there to do it.
	ask(op, fields) {
		const { dead } = this.convo;
		this.word = "";
		if (dead) this.convo.lost();
		else this.convo.ask(this, op, fields);
		return !dead;
	}

	askOf(drawn, op, fields) {
		drawn.el.focus(STAY); // since the button may go
		this.ask(op, { id: drawn.turn.id, ...fields });
	}

	send() {
		const text = this.composer.value;
		if (text.trim() && this.ask("send", { text, model: this.picked })) {
			this.goToEnd();
			this.fill("");
		}
		this.composer.focus();
	}

	stop() {
		for (const ask of this.convo.asks) if (ask.op === "send" && !ask.acked && !ask.error) this.putBack(ask);
		this.ask("stop", { id: "" });
		this.composer.focus();
	}

	saveEdit(drawn) {
		const text = drawn.editor.value;
		if (text.trim() && this.ask("edit", { id: drawn.turn.id, text })) drawn.endEdit();
	}

	showWord(word) {
		this.word = word;
		if (word) this.convo.say(word);
		this.schedule();
	}

	settled(ask, error, prompt) {
		this.showWord(error || (ask.op === "delete" ? "Deleted." : ""));
		// Undo would take back something else after another change
		this.deletion = this.convo.head.undo;
		if (!error && ask.model === this.picked) this.picked = "";
		const back = error ? ask.text : prompt;
		if (!back) return;
		if (this.root.isConnected && !this.composer.value) this.fill(back, false);
		else if (error) this.convo.refuse(ask, error);
		else this.convo.sent.push(back);
	}

	putBack(ask) {
		if (ask.error || this.convo.dead) this.convo.drop(ask);
		else this.convo.withdraw(this, ask);
		this.fill([this.composer.value, ask.text].filter(Boolean).join("\n\n"));
	}

	async copy(tool, text) {
		tool.dataset.label ??= tool.textContent;
		const done = await copy(text, this.root);
		this.convo.say(done ? "Copied" : "The browser does not allow that");
		tool.textContent = done ? "✓" : "✗";
		clearTimeout(tool.timer);
		tool.timer = setTimeout(() => (tool.textContent = tool.dataset.label), 2000);
	}

	wrap(tool) {
		const wraps = tool.ariaPressed !== "true";
		tool.ariaPressed = wraps;
		for (const piece of piecesOf(tool)) piece.classList.toggle("nbchat-wrap", wraps);
	}

	fill(text, focus = true) {
		this.composer.value = text;
		this.convo.keep();
		grow(this.composer);
		if (focus) this.composer.focus();
	}
}

// A function, so that each widget has a conversation of its own for all its views.
export default () => {
	let convo;
	return {
		initialize({ model }) {
			convo = new Conversation(model);
			return () => convo.forget();
		},
		render({ el }) {
			const view = new View(convo, el);
			return () => view.close();
		},
	};
};
