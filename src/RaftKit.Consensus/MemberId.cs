namespace RaftKit.Consensus;

/// <summary>Names a member of the quorum: 1 to 255, unique in the cluster, configured by the operator. Zero is "nobody".</summary>
/// <param name="Value">The number.</param>
public readonly record struct MemberId(int Value) : IComparable<MemberId>
{
    /// <summary>Nobody: no leader is known, or no vote was given.</summary>
    public static readonly MemberId None;

    /// <summary>Whether this names nobody.</summary>
    public bool IsNone => Value == 0;

    /// <inheritdoc/>
    public int CompareTo(MemberId other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
