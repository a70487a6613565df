"""Virtual devices and invented people: Bumble peripherals and stories made with the same codec.

Reading order: ``link`` (controllers in one process), ``backend`` (bleak over that link), ``device``
(what every virtual device does), ``cuff``, ``scale``, ``thermometer``, ``oximeter``, ``home``; then
``people`` and ``stories``. May use bumble, bleak and asyncio; no production module imports this
package.
"""
