// Every word of the page, in both languages. {name} is filled in.

export const WORDS = {
  language: { en: "中文", zh: "English" },
  theme_auto: { en: "theme: system", zh: "主题：跟随系统" },
  theme_dark: { en: "theme: dark", zh: "主题：深色" },
  theme_light: { en: "theme: light", zh: "主题：浅色" },

  connecting: { en: "connecting", zh: "正在连接" },
  fresh: { en: "live, read {age} ago", zh: "实时，{age}前读取" },
  lost: {
    en: "STALE: no word from the server for {age}. What you see is from {time}.",
    zh: "已过期：{age}未收到服务器消息。当前显示的是 {time} 的内容。",
  },
  never: { en: "The server does not answer.", zh: "服务器没有响应。" },
  not_read: { en: "not read for {age}", zh: "{age}未读取" },
  stale: { en: "STALE", zh: "已过期" },

  complete: { en: "COMPLETE", zh: "完整" },
  incomplete: { en: "INCOMPLETE", zh: "不完整" },
  no_record: { en: "NO RECORD", zh: "无记录" },
  starting: { en: "NOT YET", zh: "尚未开始" },
  broken: { en: "CANNOT BE READ", zh: "无法读取" },
  complete_for: { en: "{have}/{need} for {time}", zh: "{time} 已齐 {have}/{need}" },
  after_close: { en: "{seconds} s after the close", zh: "收盘后 {seconds} 秒" },
  filled_later: { en: "filled later", zh: "事后补齐" },
  excused_count: { en: "{count} excused", zh: "{count} 个豁免" },
  incomplete_for: { en: "{count} missing for {time}: ", zh: "{time} 缺 {count} 个：" },
  and_more: { en: "and {count} more", zh: "以及另外 {count} 个" },
  no_record_for: { en: "nobody has judged {time}, so it may be incomplete", zh: "{time} 尚未核对，可能不完整" },
  last_complete: { en: "last complete: {time}", zh: "最近一次完整：{time}" },
  never_complete: { en: "no run time is complete yet", zh: "还没有任何周期完整" },
  starting_why: { en: "no period of this market has been judged", zh: "该市场还没有任何周期被核对过" },
  advice_start_worker: {
    en: "start the worker: python -m flows worker {folder}",
    zh: "请启动 worker：python -m flows worker {folder}",
  },
  advice_start_streamer: {
    en: "start the streamer: python -m streamer {folder}",
    zh: "请启动 streamer：python -m streamer {folder}",
  },
  advice_wait: {
    en: "nothing to do: the first verdict comes some seconds after the next close",
    zh: "无需处理：下一次收盘几秒后给出第一个结论",
  },
  advice_examine: {
    en: "each period asks REST for what is missing; if it stays missing: python -m kit doctor {folder}",
    zh: "每个周期都会用 REST 补缺；若一直补不上，请运行 python -m kit doctor {folder}",
  },

  streamer: { en: "streamer", zh: "行情接收" },
  streamer_none: { en: "NONE has run here", zh: "从未运行" },
  streamer_alive: { en: "alive, {have} of {want} streams deliver", zh: "运行中，{want} 路中 {have} 路有数据" },
  streams_silent: { en: "; silent: {symbols}", zh: "；无数据：{symbols}" },
  streamer_silent: { en: "SILENT for {age}", zh: "已静默 {age}" },
  streamer_ended: { en: "ENDED {age} ago", zh: "{age}前已退出" },
  disk_error: { en: "; disk: {error}", zh: "；磁盘：{error}" },
  worker: { en: "worker", zh: "周期任务" },
  worker_alive: { en: "alive, last period", zh: "运行中，最近周期" },
  worker_silent: { en: "SILENT for {age}, last period", zh: "已静默 {age}，最近周期" },
  worker_ended: { en: "ENDED {age} ago, last period", zh: "{age}前已退出，最近周期" },
  worker_scheduled: { en: "by a schedule, last period", zh: "由调度启动，最近周期" },
  worker_absent: { en: "NONE at work, last period", zh: "未在运行，最近周期" },
  worker_none: { en: "NONE has run here", zh: "从未运行" },
  clock: { en: "clock", zh: "时钟" },
  clock_off: {
    en: "OFF: the exchange is {seconds} s from this machine's clock",
    zh: "偏差：交易所与本机时钟相差 {seconds} 秒",
  },
  window: { en: "window", zh: "窗口" },
  window_complete: { en: "{complete} of {all} run times complete", zh: "最近 {all} 个周期中 {complete} 个完整" },
  history: { en: "history", zh: "历史" },
  filling: { en: "filling history: {done} of {total} requests", zh: "正在补历史：{total} 个请求中已完成 {done} 个" },
  sources: { en: "sources", zh: "来源" },
  sources_of: { en: "{stream} stream, {rest} REST", zh: "推送 {stream}，REST {rest}" },
  excused: { en: "excused", zh: "豁免" },
  none: { en: "none", zh: "无" },
  folder: { en: "folder", zh: "目录" },

  grid: { en: "Recent run times", zh: "最近各周期" },
  filter: { en: "symbols", zh: "交易对" },
  problems_first: { en: "problems first", zh: "异常优先" },
  no_symbols: { en: "no symbols", zh: "没有交易对" },
  cell_s: { en: "by stream", zh: "推送" },
  cell_r: { en: "by REST", zh: "REST 补齐" },
  cell_v: { en: "revised", zh: "已修订" },
  cell_m: { en: "MISSING", zh: "缺失" },
  cell_e: { en: "excused", zh: "豁免" },
  "cell_.": { en: "not in the market", zh: "不在市场中" },
  "cell_?": { en: "no candle, no record", zh: "无 K 线也无记录" },
  "cell_-": { en: "not due yet", zh: "尚未到时" },

  candles: { en: "Candles", zh: "K 线" },
  interval: { en: "interval", zh: "周期" },
  offset: { en: "offset", zh: "偏移" },
  no_candles: { en: "no candle is kept of {symbol}", zh: "没有 {symbol} 的 K 线" },
  pick_symbol: { en: "pick a symbol in the grid", zh: "请在左侧表格中选择交易对" },
  open: { en: "O", zh: "开" },
  high: { en: "H", zh: "高" },
  low: { en: "L", zh: "低" },
  close: { en: "C", zh: "收" },
  volume: { en: "volume", zh: "成交量" },
  turnover: { en: "turnover", zh: "成交额" },
  trades: { en: "trades", zh: "笔数" },
  begins: { en: "begins", zh: "起始" },
  source: { en: "source", zh: "来源" },
  source_stream: { en: "by stream", zh: "推送" },
  source_rest: { en: "by REST", zh: "REST 补齐" },
  source_revision: { en: "revision", zh: "修订" },
  received: { en: "received", zh: "收到于" },
  resampled: { en: "resampled", zh: "重采样" },
  revised: { en: "revised {time}, was O/H/L/C", zh: "{time} 修订，原开/高/低/收为" },

  timeline: { en: "Delay and completeness over the window", zh: "窗口内的延迟与完整性" },
  axis_delay: { en: "delay, s", zh: "延迟（秒）" },
  axis_missing: { en: "missing", zh: "缺失" },
  moment_complete: { en: "complete {have}/{need}, {rest} by REST", zh: "完整 {have}/{need}，REST {rest}" },
  moment_incomplete: { en: "INCOMPLETE, {count} missing of {need}", zh: "不完整，{need} 个中缺 {count} 个" },
  moment_no_record: { en: "NO RECORD", zh: "无记录" },
  timeline_complete: { en: "{complete} of {all} complete", zh: "{all} 个周期中 {complete} 个完整" },
  timeline_delay: { en: "median {median} s, slowest {worst} s after the close", zh: "收盘后中位 {median} 秒，最慢 {worst} 秒" },
  timeline_later: { en: "{count} filled 10+ min later", zh: "{count} 个超过 10 分钟才补齐" },
  timeline_incomplete: { en: "{count} incomplete", zh: "{count} 个不完整" },
  timeline_none: { en: "{count} without record", zh: "{count} 个无记录" },

  factors: { en: "Factors", zh: "因子" },
  symbol: { en: "symbol", zh: "交易对" },
  close_price: { en: "close", zh: "收盘价" },
  no_factors: { en: "none configured, or not computed yet", zh: "未配置，或尚未计算" },
  without_candle: { en: "without candle: {symbols}", zh: "无 K 线：{symbols}" },
  no_value: { en: "no value", zh: "无值" },

  second: { en: "{n} s", zh: "{n} 秒" },
  minute: { en: "{n} min", zh: "{n} 分钟" },
  hour: { en: "{n} h", zh: "{n} 小时" },
  day: { en: "{n} d", zh: "{n} 天" },

  reason_listed_later: { en: "listed later", zh: "之后才上市" },
  reason_no_candle_at_the_exchange: { en: "no candle at the exchange", zh: "交易所无此 K 线" },
  reason_settling: { en: "settling", zh: "结算中" },
  reason_break: { en: "trading halted", zh: "暂停交易" },
  reason_pre_settle: { en: "about to settle", zh: "即将结算" },
  reason_close: { en: "closed", zh: "已关闭" },
  reason_delivering: { en: "delivering", zh: "交割中" },
  reason_delivered: { en: "delivered", zh: "已交割" },
  reason_pending_trading: { en: "trading has not begun", zh: "尚未开始交易" },
};

const KEPT = "bmac.language";
let language = remembered(KEPT) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // storage is switched off: the page works, and forgets
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // as above
  }
}

export function currentLanguage() {
  return language;
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  remember(KEPT, language);
}

export function word(name, values = {}) {
  const text = WORDS[name][language];
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// Reasons come from the ledger as English words; one that is not in the table is shown as it came.
export function reason(text) {
  const name = `reason_${text.replaceAll(" ", "_")}`;
  return name in WORDS ? word(name) : text;
}
