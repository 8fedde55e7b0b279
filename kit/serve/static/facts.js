// Beside the verdict: who is at work, what the window holds, what is excused and why.

import { age, element } from "./format.js";
import { runTime, some } from "./verdict.js";
import { reason, word } from "./words.js";

function streamer({ streamer: beat, record }, nowMs) {
  if (!beat) return [false, word("streamer_none")];
  const seconds = (nowMs - Date.parse(beat.written_at)) / 1000;
  if (!beat.running) return [false, word("streamer_ended", { age: age(seconds) })];
  if (!beat.alive) return [false, word("streamer_silent", { age: age(seconds) })];
  const { delivering_streams: have, wanted_streams: want } = beat;
  const silent = have < want ? word("streams_silent", { symbols: some(beat.silent_streams, want - have) }) : "";
  const delivering = word("streamer_alive", { have, want }) + silent;
  if (beat.disk_error) return [false, delivering + word("disk_error", { error: beat.disk_error })];
  // Streams of quiet symbols are silent at times, which costs nothing while their candles come by REST: told, but not in red.
  const harmless = have > 0 && record !== null && !beat.silent_streams.some((symbol) => record.missing.includes(symbol));
  return [have >= want || harmless, delivering];
}

function workerLife({ alive, running, written_at: at }, nowMs) {
  if (at === null) return word(alive ? "worker_scheduled" : "worker_absent");
  if (alive) return word("worker_alive");
  return word(running ? "worker_silent" : "worker_ended", { age: age((nowMs - Date.parse(at)) / 1000) });
}

function worker(market, nowMs) {
  const { alive, written_at: at, last_run_time: last } = market.worker;
  if (last === null && at === null) return [false, word("worker_none")];
  const time = last === null ? word("none") : runTime(market, last);
  return [alive, element("span", {}, `${workerLife(market.worker, nowMs)} `, time)];
}

function excused(record) {
  const byReason = Map.groupBy(Object.entries(record.excused), ([, why]) => why);
  const lines = [...byReason].map(([why, entries]) =>
    element("li", {}, element("em", {}, reason(why)), ` ${some(entries.map(([symbol]) => symbol))}`),
  );
  return lines.length ? element("ul", {}, ...lines) : word("none");
}

function fact(name, content, sound = true) {
  return element("div", { class: sound ? "fact" : "fact bad", "data-fact": name },
    element("dt", {}, word(name)), element("dd", {}, content));
}

export function facts(market, nowMs) {
  const [streamerSound, streamerText] = streamer(market, nowMs);
  const [workerSound, workerText] = worker(market, nowMs);
  const { known, complete, run_times: all } = market.window;
  const found = [
    fact("streamer", streamerText, streamerSound),
    fact("worker", workerText, workerSound),
    fact("window", word("window_complete", { complete, all }), known === complete),
  ];
  if (market.clock_off_ms !== null) {
    found.push(fact("clock", word("clock_off", { seconds: market.clock_off_ms / 1000 }), false));
  }
  if (market.history) found.push(fact("history", word("filling", market.history)));
  if (market.record) {
    const { by_stream: stream, by_rest: rest } = market.record;
    found.push(fact("sources", word("sources_of", { stream, rest })));
    found.push(fact("excused", excused(market.record)));
  }
  found.push(fact("folder", market.base_dir));
  return found;
}
