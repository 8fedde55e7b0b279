"""Every sentence of alarms, in each language. ``{...}`` are facts of the condition; moments come written out.

A title is a few words, ``what`` one sentence of facts, ``todo`` what to do about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from kit.alarms.conditions import Kind, NewsKind, Reason

Language = Literal["en", "zh"]


class Words(NamedTuple):
    """The texts of a kind of trouble, and those of its end."""

    title: str
    what: str
    todo: str
    well: str


class Texts(NamedTuple):
    """All texts of a language."""

    trouble: Mapping[Kind, Words]
    news: Mapping[NewsKind, str]
    reason: Mapping[Reason, str]
    still: str
    well: str
    began: str
    alarms: str
    recoveries: str
    and_more: str
    full: str
    directions: Mapping[str, str]
    todo: str
    test_title: str
    test_body: str


EN = Texts(
    trouble={
        Kind.FAILED: Words(
            "period failed",
            "{run_ms} failed: {reason}",
            "see the flow's log; the next period tries again and fills what is missing",
            "periods are done again",
        ),
        Kind.CRASHED: Words(
            "period crashed",
            "the process that worked on {run_ms} (begun {since_ms}) is gone",
            "see why in the system's log (memory full, perhaps) and that it runs again",
            "periods are done again",
        ),
        Kind.NO_RECORD: Words(
            "period not done",
            "{run_ms} has no record after its deadline",
            "see that the flows' worker, or Prefect's schedule and its process worker, runs",
            "periods are done again",
        ),
        Kind.INCOMPLETE: Words(
            "period incomplete",
            "{run_ms}: {count} of {expected} missing after the deadline: {symbols}",
            "gaps are filled as soon as the exchange has them; do not trade what is not ready",
            "complete again: {run_ms}",
        ),
        Kind.STEP_FAILING: Words(
            "step failing",
            "{step} of {run_ms} failed ({count} in a row): {reason}",
            "candles are not touched; remove the cause; the next period does the step again",
            "{step} goes well again",
        ),
        Kind.STALLED: Words(
            "no candles by stream",
            "{delivering} of {wanted} streams deliver, last candle {last_ms}. {reason}",
            "check the network and the exchange's status; periods are filled by REST meanwhile",
            "streams deliver again: {delivering} of {wanted}",
        ),
        Kind.PART_SILENT: Words(
            "silent streams",
            "{count} of {wanted} streams send nothing: {symbols}",
            "nothing if these symbols are not traded; what is missing is filled by REST",
            "streams deliver again: {delivering} of {wanted}",
        ),
        Kind.FAILING: Words(
            "connection keeps failing",
            "{count} connections do not come about. {reason}",
            "check the network, the proxy and the exchange's status",
            "connections hold again",
        ),
        Kind.LOSING: Words(
            "connection keeps failing",
            "connections lost {count} times in {minutes} minutes. {reason}",
            "check the network, the proxy and the exchange's status",
            "connections hold again",
        ),
        Kind.BANNED: Words(
            "IP address banned",
            "the exchange banned this address ({pool}) until {until_ms}: {reason}",
            "stop other programs that use this address; nothing is sent before then, streams go on",
            "the ban is over",
        ),
        Kind.FORBIDDEN: Words(
            "refused by the exchange",
            "the exchange refuses this address ({pool}); tried again at {until_ms}: {reason}",
            "check whether this region and address may use the exchange, or set a proxy",
            "the exchange answers again",
        ),
        Kind.CLOCK_OFF: Words(
            "clock off",
            "this machine's clock is {seconds} s {direction} the exchange's",
            "check NTP; candles and periods go by the exchange's clock, logs and other programs do not",
            "this machine's clock is right again",
        ),
        Kind.DISK_LOW: Words(
            "disk nearly full",
            "{free_gb} GB free ({percent} %)",
            "make room: nothing can be stored on a full disk",
            "disk has room again: {free_gb} GB free",
        ),
        Kind.UNWRITABLE: Words(
            "candles cannot be written",
            "the streamer cannot write: {reason}",
            "check the disk and the folder's owner; candles wait in memory",
            "candles are written again",
        ),
        Kind.STREAMER_SILENT: Words(
            "streamer silent",
            "no sign of the streamer (pid {pid}) since {last_ms}",
            "start it again and see its log; candles come by REST only",
            "the streamer is back",
        ),
        Kind.STREAMER_STOPPED: Words(
            "streamer stopped",
            "the streamer was stopped at {last_ms} and not started again",
            "start it, or delete streamer.json if it is not meant to run",
            "the streamer is back",
        ),
        Kind.WORKER_SILENT: Words(
            "worker silent",
            "no sign of the flows' worker (pid {pid}) since {last_ms}",
            "start it again and see its log; no gap is filled, no factor computed",
            "the worker is back",
        ),
        Kind.WORKER_STOPPED: Words(
            "worker stopped",
            "the flows' worker was stopped at {last_ms} and not started again",
            "start it, or delete worker.json if it is not meant to run",
            "the worker is back",
        ),
    },
    news={
        NewsKind.LISTED: "listed: {symbols}",
        NewsKind.STOPPED: "delisted or halted: {symbols}",
        NewsKind.RESUMED: "trade again: {symbols}",
    },
    reason={
        Reason.UNANSWERED: "the exchange has no candle",
        Reason.NO_REST: "no REST allowed now",
        Reason.UNDELIVERED: "neither stream nor REST had it",
    },
    still="still",
    well="well again",
    began="it began {since_ms}",
    alarms="{count} alarms",
    recoveries="{count} well again",
    and_more="and {count} more",
    full="So many messages came that the next one, with all that happens meanwhile, comes after {until_ms}.",
    directions={"ahead": "ahead of", "behind": "behind"},
    todo="To do: ",
    test_title="test message",
    test_body="Alarms for {markets} reach you here. It is {now_ms}.",
)

ZH = Texts(
    trouble={
        Kind.FAILED: Words(
            "周期失败", "{run_ms} 失败：{reason}", "查看 flow 日志；下一周期会重试并补齐缺口", "周期恢复正常"
        ),
        Kind.CRASHED: Words(
            "周期崩溃",
            "处理 {run_ms} 的进程（{since_ms} 开始）已消失",
            "查看系统日志（是否内存不足），确认进程已重新运行",
            "周期恢复正常",
        ),
        Kind.NO_RECORD: Words(
            "周期未执行",
            "{run_ms} 已过截止时间仍无记录",
            "确认 flows worker，或 Prefect 的调度与 process worker 正在运行",
            "周期恢复正常",
        ),
        Kind.INCOMPLETE: Words(
            "周期不完整",
            "{run_ms}：截止后 {expected} 个中缺 {count} 个：{symbols}",
            "交易所一有数据即自动补齐；未就绪的币种请勿交易",
            "已恢复完整：{run_ms}",
        ),
        Kind.STEP_FAILING: Words(
            "步骤失败",
            "{run_ms} 的 {step} 失败（连续 {count} 次）：{reason}",
            "K线不受影响；排除原因后，下一周期会重做这一步",
            "{step} 恢复正常",
        ),
        Kind.STALLED: Words(
            "行情流中断",
            "{wanted} 个流中仅 {delivering} 个有数据，最后一根K线 {last_ms}。{reason}",
            "检查网络与交易所状态；期间由 REST 补齐",
            "行情流恢复：{wanted} 个中 {delivering} 个有数据",
        ),
        Kind.PART_SILENT: Words(
            "部分行情流无数据",
            "{wanted} 个流中 {count} 个无数据：{symbols}",
            "若这些币种没有成交则无需处理；缺失部分由 REST 补齐",
            "行情流恢复：{wanted} 个中 {delivering} 个有数据",
        ),
        Kind.FAILING: Words(
            "连接持续失败", "{count} 个连接无法建立。{reason}", "检查网络、代理与交易所状态", "连接恢复稳定"
        ),
        Kind.LOSING: Words(
            "连接持续失败", "{minutes} 分钟内断开 {count} 次。{reason}", "检查网络、代理与交易所状态", "连接恢复稳定"
        ),
        Kind.BANNED: Words(
            "IP 被封禁",
            "交易所封禁本机地址（{pool}）至 {until_ms}：{reason}",
            "停止同一地址上的其他程序；封禁结束前不再发送请求，行情流照常",
            "封禁已结束",
        ),
        Kind.FORBIDDEN: Words(
            "被交易所拒绝",
            "交易所拒绝本机地址（{pool}），{until_ms} 再试：{reason}",
            "确认所在地区与地址可以访问交易所，或设置代理",
            "交易所恢复应答",
        ),
        Kind.CLOCK_OFF: Words(
            "本机时钟偏差",
            "本机时钟比交易所{direction} {seconds} 秒",
            "检查 NTP；K线与周期以交易所时钟为准，日志和其他程序不是",
            "本机时钟已校准",
        ),
        Kind.DISK_LOW: Words(
            "磁盘将满",
            "剩余 {free_gb} GB（{percent}%）",
            "请清理空间：磁盘写满后无法保存数据",
            "磁盘空间恢复：剩余 {free_gb} GB",
        ),
        Kind.UNWRITABLE: Words(
            "K线无法写入", "streamer 无法写盘：{reason}", "检查磁盘与目录属主；K线暂存内存", "K线恢复写入"
        ),
        Kind.STREAMER_SILENT: Words(
            "streamer 失联",
            "streamer（pid {pid}）自 {last_ms} 起无心跳",
            "重新启动并查看日志；期间K线仅来自 REST",
            "streamer 已恢复",
        ),
        Kind.STREAMER_STOPPED: Words(
            "streamer 已停止",
            "streamer 于 {last_ms} 被停止，尚未重新启动",
            "请启动；若不再使用，删除 streamer.json",
            "streamer 已恢复",
        ),
        Kind.WORKER_SILENT: Words(
            "worker 失联",
            "flows worker（pid {pid}）自 {last_ms} 起无心跳",
            "重新启动并查看日志；期间不补缺口、不计算因子",
            "worker 已恢复",
        ),
        Kind.WORKER_STOPPED: Words(
            "worker 已停止",
            "flows worker 于 {last_ms} 被停止，尚未重新启动",
            "请启动；若不再使用，删除 worker.json",
            "worker 已恢复",
        ),
    },
    news={
        NewsKind.LISTED: "上新：{symbols}",
        NewsKind.STOPPED: "下架或暂停：{symbols}",
        NewsKind.RESUMED: "恢复交易：{symbols}",
    },
    reason={
        Reason.UNANSWERED: "交易所没有该K线",
        Reason.NO_REST: "暂不能使用 REST",
        Reason.UNDELIVERED: "行情流与 REST 均未提供",
    },
    still="仍在持续",
    well="已恢复",
    began="始于 {since_ms}",
    alarms="{count} 条告警",
    recoveries="{count} 条恢复",
    and_more="等另外 {count} 个",
    full="消息过多：期间发生的一切将在 {until_ms} 之后合并发送。",
    directions={"ahead": "快", "behind": "慢"},
    todo="处理：",
    test_title="测试消息",
    test_body="{markets} 的告警会发送到这里。现在是 {now_ms}。",
)

TEXTS: Mapping[Language, Texts] = {"en": EN, "zh": ZH}
