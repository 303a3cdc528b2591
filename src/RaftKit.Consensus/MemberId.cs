namespace RaftKit.Consensus;

/// <summary>
/// Names a process of the cluster, unique in it, configured by the operator: 1 to 255 a member of the quorum, 256 to 1255 an observer. Zero
/// is "nobody".
/// </summary>
/// <param name="Value">The number.</param>
public readonly record struct MemberId(int Value) : IComparable<MemberId>
{
    /// <summary>The greatest number of a member of the quorum.</summary>
    public const int GreatestMember = 255;

    /// <summary>The greatest number of an observer: a thousand of them, each linked with every member.</summary>
    public const int GreatestObserver = GreatestMember + 1000;

    /// <summary>Nobody: no leader is known, or no vote was given.</summary>
    public static readonly MemberId None;

    /// <summary>Whether this names nobody.</summary>
    public bool IsNone => Value == 0;

    /// <summary>Whether this names an observer: no membership ever does, and it never votes or counts, whatever anybody says.</summary>
    public bool IsObserver => Value > GreatestMember;

    /// <inheritdoc/>
    public int CompareTo(MemberId other) => Value.CompareTo(other.Value);

    /// <inheritdoc/>
    public override string ToString() => Value.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
