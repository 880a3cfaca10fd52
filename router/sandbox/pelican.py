"""A pelican riding a bicycle, in SVG, the better drawn the more skilled the model."""

import math
import random
from typing import Literal

_SKIES = ("#cfe8f7", "#fbe6cf", "#dff3e4", "#e6e0f5")
_FRAMES = ("#c0392b", "#1f6f8b", "#2e7d32", "#6a3d9a")


def pelican_svg(skill: Literal[1, 2, 3], seed: random.Random) -> str:
    """A standalone SVG document, 400 by 300. Skill 1 gets the parts right, 2 the bicycle, 3 also the pelican."""
    frame = seed.choice(_FRAMES)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 300" width="400" height="300">',
        "  <title>A pelican riding a bicycle</title>",
        *_scenery(skill, seed),
        *_wheel(110, skill),
        *_wheel(290, skill),
        *(_frame(frame) if skill > 1 else _crude_frame(frame)),
        *(_pelican() if skill > 2 else _plain_pelican()),
        "</svg>",
    ]
    return "\n".join(lines)


def _scenery(skill: int, seed: random.Random) -> list[str]:
    lines = [f'  <rect width="400" height="300" fill="{seed.choice(_SKIES)}"/>']
    if skill > 2:
        x = seed.randint(40, 90)
        lines += [
            f'  <circle cx="{x}" cy="50" r="22" fill="#ffd166"/>',
            '  <path d="M0 262 Q90 228 200 256 T400 248 V300 H0 Z" fill="#a3c9a8"/>',
            '  <g fill="#ffffff" opacity="0.85">',
            f'    <ellipse cx="{x + 220}" cy="45" rx="34" ry="11"/>',
            f'    <ellipse cx="{x + 240}" cy="37" rx="22" ry="10"/>',
            "  </g>",
        ]
    lines.append('  <rect y="270" width="400" height="30" fill="#7d8471"/>')
    return lines


def _wheel(x: int, skill: int) -> list[str]:
    lines = [f'  <circle cx="{x}" cy="225" r="46" fill="none" stroke="#2b2b2b" stroke-width="6"/>']
    if skill > 1:
        spokes = 6 if skill == 2 else 12
        ends = [
            (x + 43 * math.cos(a), 225 + 43 * math.sin(a)) for a in (2 * math.pi * k / spokes for k in range(spokes))
        ]
        path = " ".join(f"M{x} 225 L{end_x:.1f} {end_y:.1f}" for end_x, end_y in ends)
        lines.append(f'  <path d="{path}" stroke="#9a9a9a" stroke-width="1"/>')
    lines.append(f'  <circle cx="{x}" cy="225" r="5" fill="#2b2b2b"/>')
    return lines


def _crude_frame(color: str) -> list[str]:
    return [
        f'  <path d="M110 225 L200 225 L250 165 L160 165 Z" fill="none" stroke="{color}" stroke-width="6"/>',
        f'  <path d="M250 165 L290 225" stroke="{color}" stroke-width="6"/>',
    ]


def _frame(color: str) -> list[str]:
    return [
        f'  <g fill="none" stroke="{color}" stroke-width="6" stroke-linecap="round" stroke-linejoin="round">',
        '    <path d="M110 225 L155 160 L190 225 Z"/>',
        '    <path d="M155 160 L258 156 L190 225"/>',
        '    <path d="M290 225 L252 138"/>',
        "  </g>",
        '  <path d="M252 138 q20 -14 30 2" fill="none" stroke="#2b2b2b" stroke-width="5" stroke-linecap="round"/>',
        '  <path d="M140 150 h32 q6 6 -4 9 h-22 z" fill="#2b2b2b"/>',
        '  <circle cx="190" cy="225" r="13" fill="none" stroke="#2b2b2b" stroke-width="4"/>',
        '  <path d="M182 243 L198 207 M176 244 h14 M192 206 h14" stroke="#2b2b2b" stroke-width="4"/>',
    ]


def _plain_pelican() -> list[str]:
    return [
        '  <path d="M178 150 L186 205 M190 150 L198 207" stroke="#e08e0b" stroke-width="6"/>',
        '  <ellipse cx="180" cy="120" rx="48" ry="34" fill="#ffffff" stroke="#555555" stroke-width="2"/>',
        '  <path d="M212 104 Q222 70 226 62" fill="none" stroke="#ffffff" stroke-width="16" stroke-linecap="round"/>',
        '  <circle cx="230" cy="56" r="17" fill="#ffffff" stroke="#555555" stroke-width="2"/>',
        '  <path d="M244 50 L318 66 L244 70 Z" fill="#f4a425"/>',
        '  <circle cx="234" cy="52" r="3" fill="#222222"/>',
    ]


def _pelican() -> list[str]:
    return [
        '  <defs><linearGradient id="feathers" x1="0" y1="0" x2="0" y2="1">',
        '    <stop offset="0" stop-color="#ffffff"/><stop offset="1" stop-color="#dfe3e6"/>',
        "  </linearGradient></defs>",
        '  <g stroke="#e08e0b" stroke-width="6" fill="none" stroke-linecap="round" stroke-linejoin="round">',
        '    <path d="M168 146 L196 180 L183 243 h16"/>',
        '    <path d="M184 148 L214 172 L199 206 h16"/>',
        "  </g>",
        '  <path d="M128 132 Q96 118 88 100 Q116 104 138 112 Z" fill="#c9ced2"/>',
        '  <path d="M130 130 Q140 84 190 92 Q214 74 214 52 Q216 30 238 32 Q256 36 254 54 Q248 96 228 124'
        ' Q204 160 164 156 Q138 152 130 130 Z" fill="url(#feathers)" stroke="#6b7075" stroke-width="2"/>',
        '  <path d="M146 122 Q176 104 206 118 Q192 144 160 142 Q148 136 146 122 Z" fill="#c9ced2"/>',
        '  <path d="M196 122 Q232 132 262 140" stroke="#dfe3e6" stroke-width="10" fill="none" stroke-linecap="round"/>',
        '  <path d="M250 44 L338 66 Q340 70 334 71 L252 58 Z" fill="#f4a425"/>',
        '  <path d="M252 58 L334 71 Q300 100 268 84 Q254 76 252 58 Z" fill="#f7bf63" stroke="#d98a12"/>',
        '  <circle cx="240" cy="46" r="6" fill="#f9e79f"/><circle cx="241" cy="46" r="3" fill="#222222"/>',
        '  <path d="M226 33 q-12 -12 -22 -8" stroke="#6b7075" stroke-width="3" fill="none" stroke-linecap="round"/>',
    ]
