// What anywidget hands to a widget's module, without a kernel: the model in `stub`, and proxies of it for `model`.
class Stub {
	constructor(state, id, connected) {
		this.state = state;
		this.model_id = id;
		this.comm_live = connected;
		this.sent = [];
		this.heard = [];
		this.typeset = [];
	}

	on(name, react) {
		this.heard.push([name, react]);
	}

	off(name, react) {
		this.heard = this.heard.filter(([known, other]) => known !== name || other !== react);
	}

	trigger(name, ...details) {
		for (const [known, react] of [...this.heard]) if (known === name) react(...details);
	}

	set(name, value) {
		const differs = this.state[name] !== value;
		this.state[name] = value;
		if (differs) this.trigger(`change:${name}`, this, value);
	}

	send(content) {
		if (this.comm_live) this.sent.push(structuredClone(content));
	}

	proxy() {
		return {
			get: (name) => this.state[name],
			set: (name, value) => this.set(name, value),
			save_changes: () => this.sent.push({ op: "save_changes" }),
			send: (content) => this.send(content),
			on: (name, react) => this.on(name, react),
			off: (name, react) => this.off(name, react),
			widget_manager: { context: { path: window.notebook }, _rendermime: { latexTypesetter: { typeset: (block) => this.typeset.push(block) } } },
		};
	}
}

export async function open(esm, state, id, connected) {
	const stub = new Stub(state, id, connected);
	const widget = await (await import(esm)).default();
	const forget = await widget.initialize({ model: stub.proxy() });
	const show = async (el) => widget.render({ model: stub.proxy(), el });
	return { stub, show, forget, closes: [] };
}
