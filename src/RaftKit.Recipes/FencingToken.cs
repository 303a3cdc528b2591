using System.Globalization;

namespace RaftKit.Recipes;

/// <summary>
/// Proves to whoever stores something that a grant is the newest: each grant of the same election carries a greater token than all grants
/// before it. Send it with every side effect, and let the receiver refuse a smaller token than the greatest that it has seen. That, and
/// only that, protects against a holder that was paused and does not know yet that it lost its grant.
/// </summary>
/// <param name="Value">
/// The zxid by which the holder's entry in the queue was created. Entries are granted in the order of their sequence numbers; a parent's
/// counter only grows and so do zxids, both in the order of the log, so the next holder's entry always has the greater zxid. A parent that
/// was deleted and created again starts to count anew, but it could only be deleted when it had no entries left: all earlier zxids are
/// smaller as well.
/// </param>
public readonly record struct FencingToken(long Value) : IComparable<FencingToken>
{
    /// <inheritdoc/>
    public int CompareTo(FencingToken other) => Value.CompareTo(other.Value);

    /// <summary>Whether the left one was granted earlier.</summary>
    public static bool operator <(FencingToken left, FencingToken right) => left.Value < right.Value;

    /// <summary>Whether the left one was granted later.</summary>
    public static bool operator >(FencingToken left, FencingToken right) => left.Value > right.Value;

    /// <summary>Whether the left one was granted earlier or is the same.</summary>
    public static bool operator <=(FencingToken left, FencingToken right) => left.Value <= right.Value;

    /// <summary>Whether the left one was granted later or is the same.</summary>
    public static bool operator >=(FencingToken left, FencingToken right) => left.Value >= right.Value;

    /// <summary>The number, in decimal.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);
}
