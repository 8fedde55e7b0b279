// The stream of events: opened again when it fails, closed while nobody sees the page (a browser opens only six
// connections to one server for all its tabs), and never trusted for longer than it speaks.

export const SILENT_MS = 12_000;

export class Live {
  // onMarket(overview), onTick({now_ms, looked_ms})
  constructor(onMarket, onTick) {
    this.onMarket = onMarket;
    this.onTick = onTick;
    this.source = null;
    this.heardAt = null;
    this.openedAt = 0;
    this.tick = null;
    document.addEventListener("visibilitychange", () => this.follow());
    setInterval(() => this.watch(), 1000);
    this.follow();
  }

  // Milliseconds since the server last spoke; null before its first word. By the wall clock, which goes on while a
  // computer sleeps.
  get silentMs() {
    return this.heardAt === null ? null : Math.max(0, Date.now() - this.heardAt);
  }

  get isSilent() {
    return this.heardAt === null ? Date.now() - this.openedAt > SILENT_MS : this.silentMs > SILENT_MS;
  }

  follow() {
    if (document.visibilityState === "hidden") this.close();
    else if (this.source === null) this.open();
  }

  open() {
    this.openedAt = Date.now();
    this.source = new EventSource("/api/events");
    this.source.addEventListener("market", (event) => {
      this.heardAt = Date.now();
      this.onMarket(JSON.parse(event.data));
    });
    this.source.addEventListener("tick", (event) => {
      this.heardAt = Date.now();
      this.tick = JSON.parse(event.data);
      this.onTick(this.tick);
    });
  }

  close() {
    this.source?.close();
    this.source = null;
  }

  // A connection that died while the computer slept says nothing for ever, and one that was refused is not tried again.
  watch() {
    if (this.source === null) return;
    const quietSince = Math.max(this.openedAt, this.heardAt ?? 0);
    const refused = this.source.readyState === EventSource.CLOSED && Date.now() - this.openedAt > 3000;
    if (refused || Date.now() - quietSince > SILENT_MS) {
      this.close();
      this.open();
    }
  }
}
