"""``python -m docs._site.configuration``: writes docs/configuration.md and .zh.md out of the keys of config.json.

Run it after a change of the keys. What a key means stands in ``kit.config.model``; its Chinese words stand here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from kit.config.model import Endpoints, MarketConfig, Resample, Robot
from kit.config.problems import Allowed

DOCS = Path(__file__).parents[1]

MODELS: Mapping[str, type[BaseModel]] = {
    "config.json": MarketConfig,
    "endpoints": Endpoints,
    "resample": Resample,
    "dingding": Robot,
}
"""The objects of the reference, by the heading of their table."""

OF_BMAC = (
    "interval",
    "trade_type",
    "num_candles",
    "funding_rate",
    "keep_symbols",
    "save_type",
    "dingding",
    "http_timeout_sec",
    "candle_close_timeout_sec",
    "num_rest_fetchers",
    "num_socket_listeners",
)
"""BMAC v2's keys, with its meaning and defaults."""

CHINESE = {
    "config.json": {
        "trade_type": "市场类别。必填。",
        "interval": "K 线周期；1s 只有现货。必填。",
        "num_candles": "每个币种保持完整的 K 线根数，从现在往回数。默认 1500。",
        "funding_rate": "同时保存资金费率；对现货和交割合约无效。默认 false。",
        "keep_symbols": "只要这些交易对。默认 null：整个市场类别。",
        "exclude_symbols": "不要这些交易对；优先于 keep_symbols。默认无。",
        "save_type": "K 线的文件格式。默认 parquet。",
        "http_timeout_sec": "一个 REST 请求等待多少秒后放弃。默认 5。",
        "candle_close_timeout_sec": "收盘后等待 K 线到达的秒数。默认 15。",
        "num_rest_fetchers": "同时进行的 REST 请求数。默认 8。",
        "num_socket_listeners": "分担所有交易对的 WebSocket 连接数。默认 8。",
        "endpoints": "用别的主机代替交易所自己的。",
        "proxy": "REST 与 WebSocket 的代理，例如 socks5://user:password@host:1080。",
        "offset_sec": "收盘后多少秒开始周期任务。默认 3。",
        "factors": "每个周期计算的因子：名称与窗口（K 线根数）成对。默认无。",
        "factor_package": "您自己的因子所在的 Python 包。默认 null。",
        "resample": "同时保存的更长周期的 K 线。默认 null。",
        "dingding": "按名称通知的钉钉机器人，BMAC 的写法。默认 null。",
        "notify": "出问题时通知谁：apprise URL（mailto://、tgram:// 等）。",
        "language": "消息的语言：en（英文）或 zh（中文）。默认 en。",
        "time_zone": "消息里时间所用的时区。默认 null：本机时区。",
    },
    "endpoints": {
        "rest": "REST 的基础 URL，例如 http://127.0.0.1:8080。默认：交易所自己的。",
        "ws": "WebSocket 的基础 URL，例如 ws://127.0.0.1:8080。默认：交易所自己的。",
        "dingding": "钉钉机器人的基础 URL。默认：https://oapi.dingtalk.com。",
    },
    "resample": {
        "interval": "重采样 K 线的长度：市场周期的整数倍，且更长。",
        "base_offset": "保留哪些偏移：5m 保留从 :00、:05、:10 …… 开始的 K 线；0m 只保留整周期的。"
        "须为市场周期的整数倍，且短于重采样周期。默认 0m。",
    },
    "dingding": {
        "access_token": "机器人 webhook 地址中 access_token= 之后的部分。",
        "secret": "加签密钥（SEC 开头）；机器人用关键词或 IP 校验时为 null。",
        "format": "钉钉以何种形式显示消息。",
        "at_mobiles": "消息要 @ 的人的手机号。",
    },
}

TRADE_TYPES = {
    "usdt_spot": ("spot pairs against USDT, without stablecoins and fiat", "USDT 现货，不含稳定币与法币"),
    "usdc_spot": ("spot pairs against USDC, likewise", "USDC 现货，同上"),
    "btc_spot": ("spot pairs against BTC, likewise", "BTC 现货，同上"),
    "usdt_perp": ("USDT perpetuals", "USDT 本位永续合约"),
    "usdt_deli": ("USDT delivery contracts", "USDT 本位交割合约"),
    "usdc_perp": ("USDC perpetuals", "USDC 本位永续合约"),
    "btc_perp": ("perpetuals against BTC", "BTC 计价永续合约"),
    "usdt_tradfi": ("perpetuals on tokenised stocks", "代币化股票永续合约"),
    "coin_perp": ("coin-margined perpetuals", "币本位永续合约"),
    "coin_deli": ("coin-margined delivery contracts", "币本位交割合约"),
    "usdt_swap": ("BMAC's older name of usdt_perp", "usdt_perp 的旧名"),
    "coin_swap": ("BMAC's older name of coin_perp", "coin_perp 的旧名"),
}

EXAMPLE = {
    "interval": "5m",
    "trade_type": "usdt_perp",
    "num_candles": 1500,
    "funding_rate": True,
    "exclude_symbols": ["USDCUSDT"],
    "factors": [["PctChg", 100], ["Rsi", 14]],
    "resample": {"interval": "1h", "base_offset": "5m"},
    "notify": ["tgram://bot-token/chat-id"],
    "language": "zh",
    "time_zone": "Asia/Shanghai",
}

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Configuration",
        "intro": "`config.json` lies in the market's folder. Only `interval` and `trade_type` are required. Keys with "
        "a ✓ are BMAC v2's,\nwith its meaning and default. A key that does not exist is an error that names the "
        "nearest one; all mistakes are told\nat once. Streamer and worker read it at their start: restart both after a "
        "change.",
        "secrets": "Tokens in it are secrets: `chmod 600 config.json`. They never appear in logs or messages; see "
        "[Security](security.md).",
        "example": "An example",
        "head": "| key | BMAC v2 | meaning | allowed |",
        "head_of_part": "| key | meaning | allowed |",
        "types": "Trade types",
        "head_of_types": "| trade type | what |",
        "generated": "Written by `python -m docs._site.configuration` from the keys' definitions. For editors there is "
        "a JSON Schema,\n`kit/config/schema.json`: name it by the key `$schema`.",
    },
    "zh": {
        "title": "配置参考",
        "intro": "`config.json` 放在市场目录里，只有 `interval` 和 `trade_type` 必填。带 ✓ 的是 BMAC v2 的键，"
        "含义与默认值不变。\n不存在的键会报错并提示最接近的名字；所有错误一次列出。"
        "streamer 和 worker 在启动时读取：修改后两个都要重启。",
        "secrets": "其中的 token 是机密：`chmod 600 config.json`。它们不会出现在日志和消息里，见[安全](security.md)。",
        "example": "示例",
        "head": "| 键 | BMAC v2 | 含义 | 允许的值 |",
        "head_of_part": "| 键 | 含义 | 允许的值 |",
        "types": "市场类别",
        "head_of_types": "| trade_type | 内容 |",
        "generated": "由 `python -m docs._site.configuration` 根据键的定义生成。"
        "编辑器可用 JSON Schema：`kit/config/schema.json`，用键 `$schema` 指定。",
    },
}


def page(language: str) -> str:
    """The reference in that language, ``en`` or ``zh``, as Markdown."""
    words = WORDS[language]
    lines = [f"# {words['title']}", "", words["intro"], "", words["secrets"], ""]
    lines += [f"## {words['example']}", "", "```json", *_example(), "```", ""]
    for heading in MODELS:
        lines += [f"## {heading}", "", *_table(heading, language), ""]
    lines += [f"## {words['types']}", "", words["head_of_types"], "|---|---|"]
    lines += [f"| `{name}` | {texts[language == 'zh']} |" for name, texts in TRADE_TYPES.items()]
    return "\n".join([*lines, "", words["generated"], ""])


def _example() -> list[str]:
    """A key a line: shorter than what json indents."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in EXAMPLE.items()]
    return ["{", *",\n".join(lines).splitlines(), "}"]


def _table(heading: str, language: str) -> Iterator[str]:
    words = WORDS[language]
    whole = heading == "config.json"
    yield words["head"] if whole else words["head_of_part"]
    yield "|---|:-:|---|---|" if whole else "|---|---|---|"
    for key, field in MODELS[heading].model_fields.items():
        meaning = field.description if language == "en" else CHINESE[heading][key]
        mark = ["✓" if key in OF_BMAC else ""] if whole else []
        cells = [f"`{key}`", *mark, str(meaning), _allowed(field.metadata)]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(notes: list[Any]) -> str:
    return next((note.text for note in notes if isinstance(note, Allowed)), "")


def main() -> None:
    """Write both pages."""
    (DOCS / "configuration.md").write_text(page("en"), encoding="utf-8")
    (DOCS / "configuration.zh.md").write_text(page("zh"), encoding="utf-8")


if __name__ == "__main__":
    main()
