using System.Runtime.CompilerServices;

namespace RaftKit.Consensus;

/// <summary>
/// A fact that must hold whatever the network, the disk or the peers do was found not to hold. The node that finds it stops
/// (its host process does not): going on could break what was promised to somebody.
/// </summary>
public sealed class InvariantBrokenException(string message) : Exception(message);

/// <summary>Checks that are always on: one fact each, with the numbers in the message.</summary>
internal static class Invariant
{
    /// <summary>Stops this node unless <paramref name="fact"/> holds.</summary>
    /// <exception cref="InvariantBrokenException">It does not hold.</exception>
    public static void Holds(bool fact, [InterpolatedStringHandlerArgument(nameof(fact))] ref InvariantMessage message)
    {
        if (!fact)
            throw new InvariantBrokenException(message.ToString());
    }

    /// <summary>Stops this node unless <paramref name="fact"/> holds.</summary>
    /// <exception cref="InvariantBrokenException">It does not hold.</exception>
    public static void Holds(bool fact, string message)
    {
        if (!fact)
            throw new InvariantBrokenException(message);
    }
}

/// <summary>Formats a broken invariant's message; formats nothing, and allocates nothing, while the fact holds.</summary>
[InterpolatedStringHandler]
internal ref struct InvariantMessage
{
    private DefaultInterpolatedStringHandler _text;

    public InvariantMessage(int literalLength, int formattedCount, bool fact, out bool broken)
    {
        broken = !fact;
        if (broken)
            _text = new DefaultInterpolatedStringHandler(literalLength, formattedCount, System.Globalization.CultureInfo.InvariantCulture);
    }

    public void AppendLiteral(string literal) => _text.AppendLiteral(literal);

    public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

    public void AppendFormatted<T>(T value, string format) => _text.AppendFormatted(value, format);

    public override string ToString() => _text.ToStringAndClear();
}
